// The door: a token, once; the server then keeps who it was in a cookie that scripts cannot read.
import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { ApiError } from "../api/client";
import { navigate, usePlace } from "../state/url";
import { Button, Icon, TextInput } from "../ui";
import { signIn, useSession } from "./session";
import "./SignInPage.css";

/** Only a path of this page: an address from outside must not lead anywhere else. */
function wayBack(to: string | null): string {
  return to && /^\/(?![/\\])/.test(to) && !to.startsWith("/sign-in") ? to : "/";
}

export function SignInPage() {
  const queries = useQueryClient();
  const { path, query } = usePlace();
  const { session } = useSession();
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  const needless = session && (!session.asks_for_token || session.signed_in);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setWrong("");
    try {
      await signIn(queries, token.trim());
      if (path === "/sign-in") navigate(wayBack(query.get("to")), { replace: true });
    } catch (error) {
      const refused = error instanceof ApiError && (error.trouble === "sign-in" || error.trouble === "forbidden");
      setWrong(
        refused
          ? "This token is not known here, has expired or was revoked. Check that all of it was copied, or ask for a new one."
          : error instanceof Error
            ? error.message
            : String(error),
      );
    }
    setBusy(false);
  }

  return (
    <main className="door">
      <form onSubmit={(event) => void submit(event)} aria-labelledby="door-title">
        <Icon name="lock" size={26} />
        <h1 id="door-title">Sign in</h1>
        {needless ? (
          <>
            <p className="soft">{session.signed_in && session.asks_for_token ? "You are signed in already." : "This server asks for no token."}</p>
            <Button kind="primary" onClick={() => navigate(wayBack(query.get("to")), { replace: true })}>
              Go on
            </Button>
          </>
        ) : (
          <>
            <p className="soft">This server asks for a token{session?.place ? `: ${session.place}` : ""}.</p>
            <TextInput
              type="password"
              autoComplete="current-password"
              value={token}
              onChange={setToken}
              label="Token"
              placeholder="Token"
              invalid={wrong !== ""}
              autoFocus
              aria-describedby={wrong ? "door-wrong" : undefined}
            />
            {wrong && (
              <p id="door-wrong" className="door-wrong" role="alert">
                {wrong}
              </p>
            )}
            <Button kind="primary" type="submit" disabled={busy || !token.trim()}>
              {busy ? "Signing in…" : "Sign in"}
            </Button>
            <details>
              <summary>Where do I get a token?</summary>
              <p>Whoever runs the server makes one with</p>
              <pre>ml-dash token create --scope read</pre>
              <p>It is kept in a cookie that no script can read, and is never part of an address.</p>
            </details>
          </>
        )}
      </form>
    </main>
  );
}
