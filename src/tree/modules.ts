/** Imports an actor's modules, checks them, and exposes them to its peers. */
import type { Runtime } from "../actor/runtime.ts";
import { Deadline } from "../deadline.ts";
import { SpawnError, TimeoutError } from "../errors.ts";
import { readTextSync } from "../transport/files.ts";
import { folderOf } from "../transport/paths.ts";
import { initVariable } from "./child-init.ts";
import type { Embedded } from "./embedded.ts";

/** What a child's process has to know of its modules, so that they don't start themselves without end. */
interface Imports {
  /** The module that is being imported, and the error of anything it was refused meanwhile. */
  current: { readonly specifier: string; refused: Error | undefined } | undefined;
  /** The modules of this process's actor. */
  readonly own: Set<string>;
  /** Those of the actors that this one descends from. */
  readonly inherited: Set<string>;
  /** Whether this is a child that has yet to import its modules: what runs before that is a preload. */
  isPreloading: boolean;
}

/** Global, because an actor's module may import another copy of furrow than the one that its process runs. */
const imports = ((globalThis as { [key: symbol]: Imports | undefined })[Symbol.for("furrow.imports")] ??= {
  current: undefined,
  own: new Set(),
  inherited: new Set(),
  isPreloading: false,
});

let embedded: Embedded | undefined;

/** Makes the modules of an executable known; called before anything else runs in it. */
export function setEmbedded(program: Embedded): void {
  embedded = program;
}

/** The program whose executable this is; undefined in any other process. */
export function embeddedProgram(): Embedded | undefined {
  return embedded;
}

/**
 * Imports modules and lets peers call what they export.
 *
 * @throws {SpawnError} when a module can't be loaded (`cause`: its own error), exports a reserved name or one that
 *   another exports too, or starts an actor while a child imports it
 */
export async function enableModules(
  runtime: Runtime,
  modules: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  imports.isPreloading = false;
  for (const specifier of new Set(modules)) {
    let namespace: object;
    const current: Imports["current"] = runtime.isRoot ? undefined : { specifier, refused: undefined };
    imports.current = current;
    if (current !== undefined) imports.own.add(pathOf(specifier));
    try {
      namespace = await load(specifier, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SpawnError) throw error;
      const { describeLoadError, readableLoadError } =
        require("./load-errors.ts") as typeof import("./load-errors.ts");
      const cause = readableLoadError(error);
      throw new SpawnError(`module ${specifier} cannot be loaded: ${describeLoadError(error)}`, { cause });
    } finally {
      imports.current = undefined;
    }
    // even if the module caught the error: each child would start another one, without end
    if (current?.refused !== undefined) throw current.refused;
    runtime.dispatcher.expose(namespace, specifier);
  }
  if (usesChannels()) {
    const { openChannels } = require("./channels.ts") as typeof import("./channels.ts");
    openChannels(runtime);
  }
}

/** Of how many files of a program to look at the text. With more of them, it takes less time to load what they may use. */
const maxSearched = 64;

/**
 * Whether the program may use `node:diagnostics_channel`. Nothing tells whether a process has loaded that, and loading it
 * costs a child a millisecond; so this looks whether any of the program's own files names it. `FURROW_CHANNELS` decides
 * for one that is loaded later.
 */
function usesChannels(): boolean {
  const setting = process.env["FURROW_CHANNELS"];
  if (setting !== undefined && setting !== "") return setting !== "0";
  const files = programFiles();
  if (files.length > maxSearched) return true;
  return files.some((file) => {
    try {
      return readTextSync(file).includes("diagnostics_channel");
    } catch {
      return true; // not a file: it can't be told
    }
  });
}

/** The files that this process has loaded, without furrow's own. */
export function programFiles(): string[] {
  const own = `${folderOf(folderOf(import.meta.path))}/`;
  const isOther = (file: string | symbol): file is string =>
    typeof file === "string" && file.startsWith("/") && !file.startsWith(own);
  // not Object.keys: that would also look at what each of them exports
  return Reflect.ownKeys(require.cache).filter(isOther);
}

/** The modules of this actor and of those that it descends from; a root has none. */
export function lineage(): string[] {
  return [...imports.inherited.union(imports.own)];
}

/** In a child, before its modules are imported: sets the modules of the actors that it descends from. */
export function setLineage(modules: readonly string[]): void {
  imports.isPreloading = true;
  for (const module of modules) imports.inherited.add(module);
}

/**
 * Refuses to start actors from a module that does so whenever it's imported: its child would import it too, and start
 * another one, without end.
 *
 * @throws {SpawnError} while a child imports a module, or has yet to begin to (in a preload); later, when `modules` includes one
 *   of the child's own, or of an actor that it descends from, and the code isn't running in a call
 */
export function refuseUnguarded(what: string, modules: readonly string[] = [], isCalled = true): void {
  const when = unguarded(isCalled ? [] : modules);
  if (when === undefined) return;
  const error = new SpawnError(
    `cannot ${what} ${when}: put the code that only the main program should run inside "if (import.meta.main) { ... }"`,
  );
  if (imports.current !== undefined) imports.current.refused ??= error;
  throw error;
}

/** Says why an actor must not be started now, or undefined if it may be. */
function unguarded(modules: readonly string[]): string | undefined {
  const { current, own, inherited, isPreloading } = imports;
  if (current !== undefined) return `while ${current.specifier} is being imported by an actor`;
  // the variable is there until the copy of furrow that runs the actor has been loaded
  if (isPreloading || process.env[initVariable] !== undefined) return "in a preload of an actor's process";
  const repeated = modules.find((module) => own.has(pathOf(module)) || inherited.has(pathOf(module)));
  if (repeated === undefined) return undefined;
  return own.has(pathOf(repeated))
    ? `of the module that runs here (${repeated}) outside of a call`
    : `of a module that this one was started by (${repeated}) outside of a call`;
}

/** Specifiers name files by path or by URL; this makes them comparable. */
function pathOf(specifier: string): string {
  return specifier.startsWith("file:") ? Bun.fileURLToPath(specifier) : specifier;
}

/** A main module that awaits its own import would wait forever. */
const ownImportMs = 250;

async function load(specifier: string, signal: AbortSignal | undefined): Promise<object> {
  const loading = importModule(specifier);
  const isMain = pathOf(specifier) === (embedded?.main ?? Bun.main);
  const deadline = new Deadline(
    { signal, timeout: isMain ? ownImportMs : undefined },
    `import of ${specifier}`,
  );
  const fooled = watchForThen(specifier);
  try {
    const namespace: unknown = await deadline.race("wait", Promise.race([loading, fooled.promise]));
    if (Object.prototype.toString.call(namespace) !== "[object Module]") throw thenError(specifier);
    return namespace as object;
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    throw new Error(
      "it's this program's main module, which waits for itself: move the functions to a separate module",
    );
  } finally {
    fooled.stop();
  }
}

function importModule(specifier: string): Promise<object> {
  const inside = embedded?.modules[pathOf(specifier)];
  return inside === undefined ? (import(specifier) as Promise<object>) : inside();
}

/** How often to check whether a module has been loaded although its import hasn't resolved. */
const thenCheckMs = 20;

/**
 * Detects a module that exports a function `then`. Its import treats the module as a promise, calls `then`, and
 * waits; but the runtime's module cache shows that it has been loaded.
 */
function watchForThen(specifier: string): { readonly promise: Promise<never>; stop(): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    if (typeof loadedExports(specifier)?.["then"] === "function") reject(thenError(specifier));
  }, thenCheckMs);
  return { promise, stop: () => clearInterval(timer) };
}

function loadedExports(specifier: string): Record<string, unknown> | undefined {
  try {
    const entry = require.cache[Bun.resolveSync(pathOf(specifier), folderOf(import.meta.path))] as
      | { loaded?: boolean; exports?: unknown }
      | undefined;
    return entry?.loaded === true ? (entry.exports as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not a file; or not initialized yet
  }
}

function thenError(specifier: string): SpawnError {
  return new SpawnError(
    `module ${specifier} exports a function "then", so JavaScript treats it as a promise: rename the export`,
  );
}

/**
 * Converts a module option to a specifier that any process can import.
 *
 * @throws {SpawnError} when this process runs from an executable of `furrow build`, which doesn't contain the module
 */
export function moduleSpecifier(module: string | URL): string {
  const text = module instanceof URL ? module.href : module;
  // otherwise the path would be resolved relative to furrow's own files
  const isRelative = /^\.{1,2}\//.test(text);
  if (embedded === undefined) return isRelative ? Bun.pathToFileURL(text).href : text;
  const { embeddedSpecifier } = require("./embedded.ts") as typeof import("./embedded.ts");
  return embeddedSpecifier(isRelative ? text : pathOf(text), isRelative, embedded);
}
