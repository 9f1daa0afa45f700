// The frame: queries, theme, the shell. Nothing else.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/client";
import { pauseBefore } from "./api/retries";
import { begin } from "./shell/ahead";
import { App } from "./shell/App";
import "./state/theme";
import "./theme.css";

const LASTING: ReadonlySet<string> = new Set(["sign-in", "forbidden", "missing", "invalid"]);

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // What has changed is told by the live stream; asking again on every focus would only make work.
      staleTime: 60_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => !(error instanceof ApiError && LASTING.has(error.trouble)) && failures < 3,
      retryDelay: pauseBefore,
    },
  },
});

/** ms that the first room is waited for: a page that is drawn once is drawn sooner than one that is drawn in parts, if they come soon. */
const PATIENCE = 150;

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element #root");
await Promise.race([begin(queries), new Promise((late) => window.setTimeout(late, PATIENCE))]);
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
