/** The options of `startActor`. */
import type { Metadata } from "../actor/details.ts";
import { readMetadata, readVersion } from "../actor/metadata.ts";
import type { Limits } from "../limits.ts";
import type { AddressInput, Transport } from "../transport/address.ts";
import type { OutputMode } from "./child-process.ts";
import { moduleSpecifier } from "./modules.ts";
import { checkCallTimeout } from "./settings.ts";
import type { RestartOption } from "./restart.ts";

export interface StartOptions {
  /**
   * The module whose exported functions the child exposes: a URL (`import.meta.url` works), an absolute path, a
   * package, or a path relative to the working directory.
   */
  readonly module?: string | URL;
  /** Further modules. If two modules export the same function name, the start fails with a `SpawnError`. */
  readonly modules?: readonly (string | URL)[];
  /** Default: the tree's. */
  readonly enableTransports?: readonly Transport[];
  readonly bindAddrs?: readonly AddressInput[];
  /** Merged over this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The version to register it with, 1 to 255 bytes without control characters; see `Registration`. */
  readonly version?: string;
  /** What to register it with; see `Actor.setMetadata`. A restart begins with these again. */
  readonly metadata?: Metadata;
  /** Whether to restart it when it ends; default "never". It keeps its name, but gets a new uuid. */
  readonly restart?: RestartOption;
  /**
   * How many of its functions may run at once; default: any number. The other calls, streams and dialogs wait in the order
   * in which they arrive, at most `maxCallsInFlight` of them. With 1, calls don't interleave.
   */
  readonly concurrency?: number;
  /**
   * The timeout, in ms, of calls (`portal.run`) through the portal that `startActor` returns, where `portal.with` sets no
   * other. Default: the tree's. 0 or Infinity: none.
   */
  readonly callTimeoutMs?: number;
  /** What to do with its output: pass it on (default), pass it on with its name before each line, or drop it. */
  readonly output?: OutputMode;
  /** Aborts the start. */
  readonly signal?: AbortSignal;
  /** Milliseconds for the start, including the wait while other actors are starting; default 10,000. */
  readonly timeout?: number;
}

/** Specifiers of all modules in the options, in a form that the child can import. */
export function modulesOf({ module, modules = [] }: StartOptions): string[] {
  return [...(module === undefined ? [] : [module]), ...modules].map(moduleSpecifier);
}

/** @throws {RangeError} when `concurrency` or `callTimeoutMs` is out of range */
export function checkCallOptions({ concurrency, callTimeoutMs }: StartOptions): void {
  checkCallTimeout(callTimeoutMs);
  if (concurrency === undefined || (Number.isSafeInteger(concurrency) && concurrency > 0)) return;
  throw new RangeError(`concurrency must be a positive integer, got ${String(concurrency)}`);
}

/**
 * The version and metadata in the options.
 *
 * @throws {TypeError | LimitError} when one is malformed or too large
 */
export function describedBy(
  { version, metadata = {} }: Pick<StartOptions, "version" | "metadata">,
  limits: Limits,
): { readonly version: string | null; readonly metadata: Metadata } {
  return {
    version: version === undefined ? null : readVersion(version),
    metadata: readMetadata(metadata, limits.maxMetadataBytes),
  };
}
