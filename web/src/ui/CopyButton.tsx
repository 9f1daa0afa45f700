// Puts a text on the clipboard and says that it did.
import { useEffect, useState } from "react";
import { IconButton } from "./Button";
import { toast } from "./toasts";

/** False where the browser does not allow it: pages that are not from https or this machine. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = window.setTimeout(() => setCopied(false), 1500);
    return () => window.clearTimeout(timer);
  }, [copied]);
  return (
    <IconButton
      icon={copied ? "check" : "copy"}
      label={copied ? "Copied" : label}
      onClick={async () => {
        const done = await copyText(text);
        setCopied(done);
        if (!done) toast("The browser does not let this page use the clipboard. Select the text and copy it.", { kind: "error" });
      }}
    />
  );
}
