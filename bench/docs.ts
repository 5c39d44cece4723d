/**
 * Puts runs into the documents: `bun run bench:docs RESULTS.json … [--docs FOLDER]`.
 *
 * Takes what `bench`, `bench:curves` and `bench:mixed` write with `--json`. Fills the parts of performance.md in that folder
 * (default: docs) and draws the pictures in its folder `pictures`.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { runCommand } from "./harness/command.ts";
import { drawRun } from "./pictures/run.ts";
import { fillRun } from "./report/run-document.ts";
import { readRun } from "./report/run-file.ts";

const usage = "bun run bench:docs RESULTS.json … [--docs FOLDER]";

await runCommand("bench:docs", async () => {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: { docs: { type: "string", default: join(import.meta.dir, "../docs") } },
  });
  if (positionals.length === 0) throw new Error(`expected a results file: ${usage}`);
  const document = join(values.docs, "performance.md");
  mkdirSync(join(values.docs, "pictures"), { recursive: true });
  for (const path of positionals) {
    const run = await readRun(path);
    await Bun.write(document, fillRun(await Bun.file(document).text(), run));
    console.log(`performance.md: ${run.kind}`);
    for (const [name, svg] of drawRun(run)) {
      await Bun.write(join(values.docs, "pictures", name), svg);
      console.log(`pictures/${name}: ${svg.length} B`);
    }
  }
});
