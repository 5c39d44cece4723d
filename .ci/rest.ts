/**
 * Part of the packaged `core.cjs`: loads the modules that most children never need when the first of them is needed.
 *
 * By then an upgrade may have replaced the package. The file is named after its content, so what has the name is what
 * belongs to this `core.cjs`. If nothing has it any more, the file is read from a descriptor that has been open since this
 * process began.
 */
import { existsSync, nodeFs, openSync } from "../src/transport/files.ts";

type Modules = Readonly<Record<string, () => object>>;

/** What the file exports. */
interface Rest {
  /** Passes the modules of `core.cjs` to it. */
  join(core: Modules): void;
  readonly modules: Modules;
}

// set by `bundle.ts`
declare const $restName: string;
declare const $require: NodeJS.Require;
const folder = import.meta.path.slice(0, import.meta.path.lastIndexOf("/"));
const path = `${folder}/${$restName}`;
const descriptor = openSync(path, 0);

let modules: Modules | undefined;

/** Gives a module of that file. `core`: the modules here. */
export function restModule(name: string, core: Modules): object {
  if (modules === undefined) {
    const rest = load();
    rest.join(core);
    ({ modules } = rest);
  }
  return modules[name]!();
}

function load(): Rest {
  return existsSync(path) ? ($require(path) as Rest) : evaluate(nodeFs().readFileSync(descriptor, "utf8"));
}

/** Runs the text of a CommonJS module as Bun bundles it: a function. */
function evaluate(text: string): Rest {
  // oxlint-disable-next-line no-eval -- it is this package's own file
  const run = (0, eval)(`${text}\n//# sourceURL=${path}`) as (...parameters: readonly unknown[]) => void;
  const module = { exports: {}, filename: path };
  run(module.exports, $require, module, path, folder);
  return module.exports as Rest;
}
