/**
 * Part of the packaged `core.cjs`: loads the package's other files when a module in them is needed for the first time.
 *
 * By then an upgrade may have replaced the package. The files are named after their content, so what has the name is what
 * belongs to this `core.cjs`. If nothing has it any more, the file is read from a descriptor that has been open since this
 * process began.
 */
import { existsSync, nodeFs, openSync } from "../src/transport/files.ts";

/** What a file exports. */
interface File {
  readonly modules: Readonly<Record<string, () => object>>;
}

// set by `bundle.ts`: the files' names by what they hold, and what CommonJS gives to `core.cjs`
declare const $files: Readonly<Record<string, string>>;
declare const $require: NodeJS.Require;
declare const $module: { readonly exports: unknown };

/** Gives a module of a file, by its path in `src`. */
type ModulesOf = (path: string) => object;

const folder = import.meta.path.slice(0, import.meta.path.lastIndexOf("/"));
const files = new Map(Object.entries($files).map(([part, name]) => [part, modulesIn(name)]));

export function later(part: string): ModulesOf {
  return files.get(part)!;
}

function modulesIn(name: string): ModulesOf {
  const file = `${folder}/${name}`;
  const descriptor = openSync(file, 0);
  let loaded: File | undefined;
  return (path) => (loaded ??= load(file, descriptor)).modules[path]!();
}

function load(file: string, descriptor: number): File {
  return existsSync(file)
    ? ($require(file) as File)
    : evaluate(file, nodeFs().readFileSync(descriptor, "utf8"));
}

/** Runs a CommonJS module: Bun bundles one as the text of a function. */
function evaluate(file: string, text: string): File {
  // oxlint-disable-next-line no-eval -- it is this package's own file
  const run = (0, eval)(`${text}\n//# sourceURL=${file}`) as (...parameters: readonly unknown[]) => void;
  const module = { exports: {}, filename: file };
  const requireHere = (id: string): unknown => (id === "./core.cjs" ? $module.exports : $require(id));
  run(module.exports, requireHere, module, file, folder);
  return module.exports as File;
}
