/**
 * Writes the API reference to build/api. Typedoc doesn't support TypeScript 7 yet, so it's installed with an older
 * version in a separate folder, away from the package's dependencies.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "bun";

const root = join(import.meta.dir, "..");
const tool = join(root, "build", "typedoc");
const output = join(root, "build", "api");
const dependencies = { typedoc: "0.28.20", typescript: "6.0.3" };

await mkdir(tool, { recursive: true });
await Bun.write(join(tool, "package.json"), JSON.stringify({ private: true, dependencies }));
await $`${process.execPath} install --no-save`.cwd(tool);
const typedoc = join(tool, "node_modules/typedoc/bin/typedoc");
const sources = ["index", "testing", "metrics", "otel"];
const entries = sources.flatMap((name) => ["--entryPoints", `src/${name}.ts`]);
await $`${process.execPath} ${typedoc} ${entries} --out ${output} --readme README.md`.cwd(root);
