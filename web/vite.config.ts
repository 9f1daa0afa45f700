// How the page is built: into the Python package, beside it compressed, and with nothing that its Content-Security-Policy forbids.
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const SMALLEST = 1024;

/** Beside every text file of the build its .gz and .br, so that the server compresses nothing while somebody waits. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      folder = path.resolve(config.root, config.build.outDir);
    },
    async closeBundle() {
      for (const name of await readdir(folder, { recursive: true })) {
        const file = path.join(folder, name);
        if (!/\.(js|css|html|svg)$/.test(name) || (await stat(file)).size < SMALLEST) continue;
        const bytes = await readFile(file);
        await writeFile(`${file}.gz`, gzipSync(bytes, { level: 9 }));
        await writeFile(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

/** The frame and the rooms that most visits begin in, by the end of their module's path. */
const FIRST = ["/src/start.tsx", "/runs/ProjectPage.tsx", "/runs/ChartsTab.tsx"];

/** What several rooms share is one file, not thirty that wait for one another's connections; what the page begins with is by itself. */
const FILES = [
  { name: "request", test: /preload-helper|\/src\/(api\/client|model\/json|shell\/rooms)\.ts$/, priority: 2 },
  { name: "shared", minShareCount: 2, priority: 1 },
];

/** The first rooms are fetched beside the frame, not after it has been run. */
function fetchedEarly(): Plugin {
  return {
    name: "fetched-early",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle = {} }) {
        const files = new Set<string>();
        const add = (file: string) => {
          const chunk = bundle[file];
          if (chunk?.type !== "chunk" || files.has(file)) return;
          files.add(file);
          chunk.imports.forEach(add);
          for (const style of chunk.viteMetadata?.importedCss ?? []) files.add(style);
        };
        for (const [file, chunk] of Object.entries(bundle)) {
          if (chunk.type === "chunk" && FIRST.some((end) => chunk.facadeModuleId?.endsWith(end))) add(file);
        }
        return [...files].filter((file) => !html.includes(file)).map((file) => ({
          tag: "link",
          attrs: { rel: file.endsWith(".css") ? "stylesheet" : "modulepreload", crossorigin: true, href: `/${file}` },
          injectTo: "head" as const,
        }));
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed(), fetchedEarly()],
  build: {
    outDir: "../src/ml_dash/server/page",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: { groups: FILES } } },
  },
  server: { proxy: { "/api": "http://127.0.0.1:3000" } },
  test: { include: ["tests/**/*.test.ts", "tests/**/*.test.tsx"] },
} as Parameters<typeof defineConfig>[0]);
