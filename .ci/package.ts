/**
 * Builds the package as published, in `build/package`: `bun run package`. It runs from bundled files, see
 * `bundle.ts`. Its manifest is that of the checkout, with the entry points of the bundle.
 */
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import manifest from "../package.json";
import { buildPage } from "../src/page/build.ts";
import { pageFileName } from "../src/page/page-file.ts";
import { bundle } from "./bundle.ts";

const root = join(import.meta.dir, "..");
const folder = join(root, "build/package");

rmSync(folder, { recursive: true, force: true });
await bundle(join(folder, "lib"));
writeFileSync(join(folder, "lib", pageFileName), await buildPage());
// the source is included for reading: the bundled file has no comments
for (const part of ["src", "docs", "README.md", "CHANGELOG.md", "LICENSE"]) copy(part, part);
copy("build/types", "types");
copy("node_modules/msgpackr/LICENSE", "lib/LICENSE.msgpackr");
copy("node_modules/preact/LICENSE", "lib/LICENSE.preact");
copy("node_modules/@preact/signals/LICENSE", "lib/LICENSE.preact-signals");
writeManifest();

function copy(from: string, to: string): void {
  cpSync(join(root, from), join(folder, to), { recursive: true });
}

/** Leaves out the dependencies, since they are in the bundled file. */
function writeManifest(): void {
  const { name, version, description, keywords, homepage, bugs, license, author, repository, type, engines } =
    manifest;
  const { peerDependencies, peerDependenciesMeta } = manifest;
  const published = {
    name,
    version,
    description,
    keywords,
    homepage,
    bugs,
    license,
    author,
    repository,
    files: ["lib", "types", "src", "docs", "CHANGELOG.md"],
    type,
    bin: { furrow: "lib/cli.js" },
    exports: {
      ".": {
        types: "./types/index.d.ts",
        default: "./lib/index.js",
      },
      "./testing": {
        types: "./types/testing.d.ts",
        default: "./lib/testing.js",
      },
      "./metrics": {
        types: "./types/metrics.d.ts",
        default: "./lib/metrics.js",
      },
      "./otel": {
        types: "./types/otel.d.ts",
        default: "./lib/otel.js",
      },
      "./etcd": {
        types: "./types/etcd.d.ts",
        default: "./lib/etcd.js",
      },
      "./package.json": "./package.json",
    },
    peerDependencies,
    peerDependenciesMeta,
    engines,
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
}
