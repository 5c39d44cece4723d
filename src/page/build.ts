/**
 * Builds the page into one file with nothing outside it. The package has the result and never loads this file; a checkout builds the
 * page whenever it serves it, so that what is seen is what was written.
 */
import { dirname, join } from "node:path";

import { asError } from "../errors.ts";

/** The page's HTML. @throws {Error} when it can't be built, for want of the development dependencies perhaps */
export async function buildPage(): Promise<string> {
  try {
    const { outputs } = await Bun.build({
      entrypoints: [join(dirname(import.meta.path), "app/index.html")],
      compile: true,
      target: "browser",
      minify: true,
      define: { "process.env.NODE_ENV": `"production"` },
    });
    return await outputs[0]!.text();
  } catch (error) {
    const message = `the page can't be built: ${asError(error).message}; run \`bun install\` in the checkout`;
    throw new Error(message, { cause: error });
  }
}
