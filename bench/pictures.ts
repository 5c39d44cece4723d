/** Draws the pictures of a run: `bun run bench:pictures RESULTS.json [--out FOLDER]`; the default folder is docs/pictures. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { runCommand } from "./harness/command.ts";
import { drawAll } from "./pictures/drawings.ts";
import { readResults } from "./report/results-file.ts";

const usage = "bun run bench:pictures RESULTS.json [--out FOLDER]";

await runCommand("bench:pictures", async () => {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: { out: { type: "string", default: join(import.meta.dir, "../docs/pictures") } },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new Error(`expected one results file: ${usage}`);
  mkdirSync(values.out, { recursive: true });
  for (const [name, svg] of drawAll(await readResults(file))) {
    await Bun.write(join(values.out, name), svg);
    console.log(`${name}: ${svg.length} B`);
  }
});
