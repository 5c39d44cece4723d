/** Finds the modules of a program that actors may have, and all files that it consists of. */
import { existsSync, readFileSync } from "node:fs";
import type { BunPlugin } from "bun";

import { importMetaUses, namedFiles } from "./rewrite.ts";

/** The files that Bun takes for modules with code. */
export const scriptFiles: RegExp = /\.[cm]?[jt]sx?$/;

export interface ProgramFiles {
  /** What an actor may have as its module, the program's main module first. */
  readonly modules: readonly string[];
  /** All files with code, furrow's included. */
  readonly sources: readonly string[];
}

/**
 * Bundles in memory, as often as that finds further modules: those that the program names by a constant path, and each
 * file that mentions its own. A package's files aren't searched.
 *
 * @throws {AggregateError} when a file can't be bundled
 */
export async function scanProgram(
  main: string,
  actors: readonly string[],
  isSearched: (path: string) => boolean,
): Promise<ProgramFiles> {
  const modules = new Set([main, ...actors]);
  const sources = new Set<string>();
  for (let before = 0; before < modules.size;) {
    before = modules.size;
    const add = (path: string, source: string): void => {
      sources.add(path);
      if (!isSearched(path)) return;
      if (["url", "path", "filename"].some((own) => importMetaUses(source).has(own))) modules.add(path);
      for (const named of namedFiles(source, path, process.cwd()))
        if (scriptFiles.test(named) && existsSync(named)) modules.add(named);
    };
    await Bun.build({ entrypoints: Array.from(modules), target: "bun", plugins: [reading(add)] });
  }
  // the bundler finds them in any order
  modules.delete(main);
  return { modules: [main, ...Array.from(modules).toSorted()], sources: Array.from(sources) };
}

/** Shows the text of each source to `add`. */
function reading(add: (path: string, source: string) => void): BunPlugin {
  return {
    name: "reading",
    setup(build) {
      build.onLoad({ filter: scriptFiles }, ({ path }) => {
        add(path, readFileSync(path, "utf8"));
        return undefined;
      });
    },
  };
}
