/** Builds the page of `furrow ui` into one file with nothing outside it: `bun .ci/page.ts FILE`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const entry = join(import.meta.dir, "../src/page/app/index.html");

/** The page's HTML. @throws {AggregateError} when the build fails */
export async function buildPage(): Promise<string> {
  const { outputs } = await Bun.build({
    entrypoints: [entry],
    compile: true,
    target: "browser",
    minify: true,
    define: { "process.env.NODE_ENV": `"production"` },
  });
  return await outputs[0]!.text();
}

if (import.meta.main) {
  const file = Bun.argv[2] ?? join(import.meta.dir, "../build/page.html");
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, await buildPage());
}
