/** Pictures of a run: `bun run bench:pictures RESULTS.json [--out FOLDER]`; the folder is docs/pictures by default. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { drawAll } from "./pictures/drawings.ts";
import { readResults } from "./results-file.ts";

const usage = "bun run bench:pictures RESULTS.json [--out FOLDER]";

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    allowPositionals: true,
    options: { out: { type: "string", default: join(import.meta.dir, "../docs/pictures") } },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new Error(`which results? ${usage}`);
  mkdirSync(values.out, { recursive: true });
  for (const [name, svg] of drawAll(await readResults(file))) {
    await Bun.write(join(values.out, name), svg);
    console.log(`${name}: ${svg.length} B`);
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench:pictures: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
