/**
 * How an executable made by `furrow build` starts. It is the program and each of its actors: a parent runs its own
 * executable again, and the environment says which of the two the process is.
 */
import { runChild } from "./child-main.ts";
import { type Embedded, setEmbedded } from "./modules.ts";

/** What `import.meta.main` is in the program's main module; see `src/cli/build/rewrite.ts`. */
const isMain = Symbol.for("furrow.isMain");

/** Runs an actor if a parent has started this process for it, otherwise the program. Called by the executable's entry. */
export function runStandalone(program: Embedded): void {
  setEmbedded(program);
  if (runChild()) return;
  (globalThis as { [isMain]?: boolean })[isMain] = true;
  void program.modules[program.main]!();
}
