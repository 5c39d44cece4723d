/**
 * A run into the documents: `bun run bench:docs RESULTS.json [--docs FOLDER]`.
 *
 * Fills the tables of performance.md in that folder, which is docs/ by default, and draws the pictures beside it.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { fillDocument } from "./document.ts";
import { drawAll } from "./pictures/drawings.ts";
import { readResults } from "./results-file.ts";

const usage = "bun run bench:docs RESULTS.json [--docs FOLDER]";

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: { docs: { type: "string", default: join(import.meta.dir, "../docs") } },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new Error(`which results? ${usage}`);
  const results = await readResults(file);
  const document = join(values.docs, "performance.md");
  await Bun.write(document, fillDocument(await Bun.file(document).text(), results));
  console.log(`performance.md: ${results.rows.length} results`);
  mkdirSync(join(values.docs, "pictures"), { recursive: true });
  for (const [name, svg] of drawAll(results)) {
    await Bun.write(join(values.docs, "pictures", name), svg);
    console.log(`pictures/${name}: ${svg.length} B`);
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench:docs: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
