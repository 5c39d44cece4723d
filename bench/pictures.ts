/** Draws the pictures of runs: `bun run bench:pictures RESULTS.json … [--out FOLDER]`; the default folder is docs/pictures. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { runCommand } from "./harness/command.ts";
import { drawRun } from "./pictures/run.ts";
import { readRun } from "./report/run-file.ts";

const usage = "bun run bench:pictures RESULTS.json … [--out FOLDER]";

await runCommand("bench:pictures", async () => {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: { out: { type: "string", default: join(import.meta.dir, "../docs/pictures") } },
  });
  if (positionals.length === 0) throw new Error(`expected a results file: ${usage}`);
  mkdirSync(values.out, { recursive: true });
  for (const path of positionals) {
    for (const [name, svg] of drawRun(await readRun(path))) {
      await Bun.write(join(values.out, name), svg);
      console.log(`${name}: ${svg.length} B`);
    }
  }
});
