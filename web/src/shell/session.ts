// Who is looking, and what they may do: asked once, again after signing in or out and whenever the server refuses a request as unsigned.
import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, ApiError } from "../api/client";
import type { Session } from "../api/types";

const KEY = ["session"] as const;

export function useSession(): { session: Session | undefined; error: Error | null; retry: () => void } {
  const asked = useQuery({ queryKey: KEY, queryFn: ({ signal }) => api.session(signal), staleTime: Infinity });
  return { session: asked.data, error: asked.error, retry: () => void asked.refetch() };
}

/** Whether the reader may change runs. */
export function useMayWrite(): boolean {
  const { session } = useSession();
  return session !== undefined && session.scope !== "read" && (session.signed_in || !session.asks_for_token);
}

/** Ask again who is looking when any request is refused for want of a token: it may have been revoked. */
export function useSessionWatch(): void {
  const queries = useQueryClient();
  useEffect(
    () =>
      queries.getQueryCache().subscribe((event) => {
        if (event.type !== "updated" || event.action.type !== "error" || event.query.queryKey[0] === KEY[0]) return;
        const error: unknown = event.action.error;
        if (error instanceof ApiError && error.trouble === "sign-in") void queries.invalidateQueries({ queryKey: KEY });
      }),
    [queries],
  );
}

export async function signIn(queries: QueryClient, token: string): Promise<void> {
  queries.setQueryData(KEY, await api.signIn(token));
  void queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== KEY[0] });
}

export async function signOut(queries: QueryClient): Promise<void> {
  await api.signOut();
  queries.removeQueries({ predicate: (query) => query.queryKey[0] !== KEY[0] });
  await queries.invalidateQueries({ queryKey: KEY });
}
