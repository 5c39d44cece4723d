/** The options of an actor that a nursery starts. */
import type { AddressInput, Transport } from "../transport/address.ts";
import type { OutputMode } from "./child-process.ts";
import { moduleSpecifier } from "./modules.ts";
import type { RestartOption } from "./restart.ts";

export interface StartOptions {
  /**
   * The module whose exported functions the child offers: a URL (`import.meta.url` works), an absolute path, a package,
   * or a path relative to the working directory.
   */
  readonly module?: string | URL;
  /** Further ones. The same export in two of them is a `SpawnError`. */
  readonly modules?: readonly (string | URL)[];
  /** Default: the tree's. */
  readonly enableTransports?: readonly Transport[];
  readonly bindAddrs?: readonly AddressInput[];
  /** Merged over this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it is started again when it ends; default "never". The name goes on, under a new uuid. */
  readonly restart?: RestartOption;
  /** What happens to what it prints: passed on (default), passed on with its name before each line, or dropped. */
  readonly output?: OutputMode;
  /** Aborts the start. */
  readonly signal?: AbortSignal;
  /** Milliseconds for the start, with its wait for others that are starting; default 10,000. */
  readonly timeout?: number;
}

/** The modules that the child imports, in a form that it can. */
export function modulesOf({ module, modules = [] }: StartOptions): string[] {
  return [...(module === undefined ? [] : [module]), ...modules].map(moduleSpecifier);
}
