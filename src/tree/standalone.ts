/**
 * How an executable made by `furrow build` starts. It is the program and each of its actors: a parent runs its own
 * executable again, and the environment says which of the two the process is.
 */
import { runChild } from "./child-main.ts";
import type { Embedded } from "./embedded.ts";
import { setEmbedded } from "./modules.ts";

/** The path of the module whose `import.meta.main` is true; see `src/cli/build/rewrite.ts`. */
const mainModule = Symbol.for("furrow.main");

/** Runs an actor if a parent has started this process for it, otherwise the program. Called by the executable's entry. */
export function runStandalone(program: Embedded): void {
  setEmbedded(program);
  if (runChild() !== undefined) return;
  const main = mainOf(program);
  setEmbedded({ ...program, main });
  (globalThis as { [mainModule]?: string })[mainModule] = main;
  void program.modules[main]!();
}

/**
 * The module to run: the one that the first argument names, if there is one. A program may run another of its files with
 * `Bun.spawn([process.execPath, path])`, and would otherwise start itself, and that itself, without end.
 */
function mainOf({ main, modules }: Embedded): string {
  const named = process.argv[2] ?? "";
  if (modules[named] === undefined) return main;
  process.argv.splice(1, 2, named);
  return named;
}
