/** Finds the modules of actors in an executable of `furrow build`. */
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";

import { SpawnError } from "../errors.ts";

/** A program that `furrow build` compiled into one executable: its files exist only in there. */
export interface Embedded {
  /** The path that the program's main module has in the executable. */
  readonly main: string;
  /** The path there of the folder in which it was built: relative module paths refer to it. */
  readonly folder: string;
  /** What imports each of the modules that actors may have, by its path. */
  readonly modules: Readonly<Record<string, () => Promise<object>>>;
}

/** Where Bun shows the files of an executable. */
const embeddedRoot = "/$bunfs/";
/** How many of an executable's modules an error names. */
const maxTold = 8;

/**
 * The specifier of a module that is given by a path. A relative one refers to the folder in which the executable was built.
 *
 * @throws {SpawnError} when the module is neither in the executable nor a file
 */
export function embeddedSpecifier(path: string, isRelative: boolean, { folder, modules }: Embedded): string {
  const inside = isRelative ? join(folder, path) : path;
  if (modules[inside] !== undefined) return inside;
  // a file beside the executable, such as a plugin
  const outside = isRelative ? resolve(path) : path;
  if (existsSync(outside)) return outside;
  const all = Object.keys(modules).map((one) => relative(folder, one));
  const told = all.length > maxTold ? [...all.slice(0, maxTold), `${all.length - maxTold} more`] : all;
  const missing = inside.startsWith(embeddedRoot) ? relative(folder, inside) : path;
  throw new SpawnError(
    `module ${path} is neither a file nor in this executable, which contains ${told.join(", ")}: build it again with furrow build --actors ${missing}`,
  );
}
