/** An actor's modules: imported, checked, and exposed to its peers. */
import { dirname } from "node:path";

import type { Runtime } from "../actor/runtime.ts";
import { Deadline } from "../deadline.ts";
import { SpawnError, TimeoutError } from "../errors.ts";
import { setStack, userFrames, withoutFrames } from "../frames.ts";

/** The module that a child imports at this moment, and what it was refused meanwhile. */
let importing: { readonly specifier: string; refused: SpawnError | undefined } | undefined;
/** The modules of this process's actor, if that is a child. */
const ownModules = new Set<string>();

/**
 * Imports modules and lets peers call what they export.
 *
 * @throws {SpawnError} when one cannot be loaded (`cause`: its own error), or exports a name that it can't, or two export
 * the same one; when it starts an actor while it is being imported by a child
 */
export async function enableModules(
  runtime: Runtime,
  modules: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  for (const specifier of new Set(modules)) {
    let namespace: object;
    const current: typeof importing = runtime.isRoot ? undefined : { specifier, refused: undefined };
    importing = current;
    if (current !== undefined) ownModules.add(pathOf(specifier));
    try {
      namespace = await load(specifier, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SpawnError) throw error;
      const cause = readableLoadError(error);
      throw new SpawnError(`module ${specifier} cannot be loaded: ${describeLoadError(error)}`, { cause });
    } finally {
      importing = undefined;
    }
    // also when the module has caught it: in the next child it would start one again, and so on without end
    if (current?.refused !== undefined) throw current.refused;
    runtime.dispatcher.expose(namespace, specifier);
  }
}

/**
 * Holds up a module that starts actors just by being imported: its child would import it too, and so on without end.
 *
 * @throws {SpawnError} while a child imports a module; or later, when `modules` has one of its own, outside of any call
 */
export function refuseUnguarded(what: string, modules: readonly string[] = [], isCalled = true): void {
  const repeated = isCalled ? undefined : modules.find((module) => ownModules.has(pathOf(module)));
  if (importing === undefined && repeated === undefined) return;
  const when =
    importing === undefined
      ? `of the module that runs here, ${repeated}, outside of any call`
      : `while ${importing.specifier} is being imported by an actor`;
  const error = new SpawnError(
    `cannot ${what} ${when}: put what only the program does inside "if (import.meta.main) { ... }"`,
  );
  if (importing !== undefined) importing.refused ??= error;
  throw error;
}

/** Files are named by path and by URL. */
function pathOf(specifier: string): string {
  return specifier.startsWith("file:") ? Bun.fileURLToPath(specifier) : specifier;
}

/** A main module that awaits its own import would wait for ever. */
const ownImportMs = 250;

async function load(specifier: string, signal: AbortSignal | undefined): Promise<object> {
  const loading = import(specifier) as Promise<object>;
  const isMain = specifier === Bun.main || specifier === Bun.pathToFileURL(Bun.main).href;
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
      "it is this program's main module, which waits for itself: move the functions to a module of their own",
    );
  } finally {
    fooled.stop();
  }
}

/** How often it is looked whether a module has been loaded though its import does not say so. */
const thenCheckMs = 20;

/**
 * An import takes a module that exports a function `then` for a promise: it calls that, and waits. What the runtime has
 * loaded tells the difference.
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
    const entry = require.cache[Bun.resolveSync(pathOf(specifier), dirname(import.meta.path))] as
      | { loaded?: boolean; exports?: unknown }
      | undefined;
    return entry?.loaded === true ? (entry.exports as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not a file; or not initialized yet
  }
}

function thenError(specifier: string): SpawnError {
  return new SpawnError(
    `module ${specifier} exports a function "then", so JavaScript takes it for a promise: rename the export`,
  );
}

/** How many of a module's errors are told. */
const maxToldErrors = 5;

/** What went wrong, with the place where that isn't in the error's frames. */
function describeLoadError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const found = buildMessages(error);
  if (found.length === 0) return `${error.name}: ${error.message}`;
  return found
    .slice(0, maxToldErrors)
    .map(({ message, position }) => {
      const { file, line, column, lineText } = position;
      return `${file}:${line}:${column}: ${message}\n    ${lineText}\n    ${" ".repeat(column - 1)}^`;
    })
    .join("\n");
}

/** An error of the program's text as the SyntaxError that it is: it crosses with its place for a frame. */
function readableLoadError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const [first] = buildMessages(error);
  if (first === undefined) {
    const frames = userFrames(error.stack);
    if (frames.length > 0) setStack(error, frames);
    return error;
  }
  const { file, line, column } = first.position;
  const syntax = withoutFrames(() => new SyntaxError(first.message));
  setStack(syntax, [`    at module (${file}:${line}:${column})`]);
  return syntax;
}

type Positioned = BuildMessage & { readonly position: Position };

/** What Bun says of a text that it can't read: one error, or one for each fault. */
function buildMessages(error: Error): Positioned[] {
  const all: unknown[] = error instanceof AggregateError ? error.errors : [error];
  return all.filter((one): one is Positioned => one instanceof BuildMessage && one.position !== null);
}

/** A module of an option as something that any process can import. */
export function moduleSpecifier(module: string | URL): string {
  if (module instanceof URL) return module.href;
  // a path would be taken relative to furrow's own files
  if (/^\.{1,2}\//.test(module)) return Bun.pathToFileURL(module).href;
  return module;
}
