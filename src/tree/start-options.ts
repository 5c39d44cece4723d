/** The options of `startActor`. */
import type { Metadata } from "../actor/details.ts";
import { readMetadata, readVersion } from "../actor/metadata.ts";
import type { HeldName } from "../discovery/holds.ts";
import type { Limits } from "../limits.ts";
import type { AddressInput, Transport } from "../transport/address.ts";
import { moduleSpecifier } from "./modules.ts";
import { checkCallTimeout, type OutputMode } from "./settings.ts";
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
  /** As in `RootOptions`, for this actor. Default: the hosts that this process's actor advertises, without its ports. */
  readonly advertiseAddrs?: readonly AddressInput[];
  /**
   * What the actor finds as `currentActor().data`, from the first line of its modules on: any value that can cross, of at most
   * `maxFrameBytes`. It is copied when `startActor` is called, and every restart gets that copy.
   */
  readonly data?: unknown;
  /**
   * Merged over this process's environment. `BUN_INSPECT` and its relatives reach the actor only from here, and only if they
   * differ from this process's own.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** The version to register it with, 1 to 255 bytes without control characters; see `Registration`. */
  readonly version?: string;
  /** What to register it with; see `Actor.setMetadata`. A restart begins with these again. */
  readonly metadata?: Metadata;
  /**
   * Whether it must be the only actor of its name. If the name is taken, nothing is started; and while it runs, or waits for
   * its restart, every other actor is refused the name. Default false.
   */
  readonly unique?: boolean;
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
  /**
   * What to do with its output: pass it on (`"inherit"`), pass it on with its name before each line (`"prefix"`), pass it on and
   * keep the last 256 KiB of it for `furrow logs` (`"keep"`), or drop it (`"ignore"`). Default: that of `openNursery`.
   */
  readonly output?: OutputMode;
  /** The actor's working directory; default: this process's. `module` is still relative to this process's. */
  readonly cwd?: string;
  /** Flags of Bun for the actor's process, such as `["--smol", "--preload", "./setup.ts"]`. */
  readonly execArgv?: readonly string[];
  /**
   * Whether the actor listens for a debugger: true for a free port of 127.0.0.1, or where (`"127.0.0.1:6499/quotes"`). The
   * address is printed on stderr with the actor's name.
   */
  readonly inspect?: boolean | string;
  /** Aborts the start. */
  readonly signal?: AbortSignal;
  /** Milliseconds for the start, including the wait while other actors are starting; default 10,000. */
  readonly timeout?: number;
}

/** The options of `replaceActor`. */
export interface ReplaceOptions extends StartOptions {
  /** Milliseconds for the old one to finish what runs; default 30,000. After that it is cancelled. */
  readonly drainTimeout?: number;
}

/** A start of an actor whose name this process holds, or that replaces another. */
export interface HeldStartOptions extends StartOptions {
  readonly hold?: HeldName;
  /** The uuid of the actor whose place it takes: see `placeOf`. */
  readonly inPlaceOf?: string | undefined;
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
