/**
 * Puts a run into the documents: `bun run bench:docs RESULTS.json [--docs FOLDER]`.
 *
 * Fills the tables of performance.md in that folder (default: docs) and draws the pictures in its folder `pictures`.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { runCommand } from "./harness/command.ts";
import { drawAll } from "./pictures/drawings.ts";
import { fillDocument } from "./report/document.ts";
import { readResults } from "./report/results-file.ts";

const usage = "bun run bench:docs RESULTS.json [--docs FOLDER]";

await runCommand("bench:docs", async () => {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: { docs: { type: "string", default: join(import.meta.dir, "../docs") } },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new Error(`expected one results file: ${usage}`);
  const results = await readResults(file);
  const document = join(values.docs, "performance.md");
  await Bun.write(document, fillDocument(await Bun.file(document).text(), results));
  console.log(`performance.md: ${results.rows.length} results`);
  mkdirSync(join(values.docs, "pictures"), { recursive: true });
  for (const [name, svg] of drawAll(results)) {
    await Bun.write(join(values.docs, "pictures", name), svg);
    console.log(`pictures/${name}: ${svg.length} B`);
  }
});
