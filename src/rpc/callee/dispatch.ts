/** The functions that peers may call: those that the enabled modules export, and furrow's own. */
import { LimitError, NotExposedError, PermissionDeniedError, SpawnError } from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import { checkCall, type Permissions } from "../policy.ts";
import { type Schemas, schemasOf } from "./validated.ts";

type Callable = (...args: unknown[]) => unknown;

/** What the names of the functions that every actor has begin with; see `Dispatcher.builtIns`. */
const builtInPrefix = "furrow.";
/** Names that start with one of these are reserved for the runtime: exports must not hide its functions. */
const runtimePrefixes: readonly string[] = ["registrar.", builtInPrefix];

/** Whether a function of that name is furrow's own, at any actor. */
export function isRuntimeName(name: string): boolean {
  return runtimePrefixes.some((prefix) => name.startsWith(prefix));
}

/** The most functions that an actor may expose, and the most bytes that their names may take: it registers them. */
const maxFunctions = 1_024;
const maxFunctionBytes = 32_768;

/** How many functions an error lists if none has a similar name. */
const maxListed = 5;
/** No suggestions for longer names: the caller chooses the length, and with it how long the comparison takes. */
const maxCompared = 64;

/** A function that an actor exposes, as others see it. */
export interface ExposedFunction {
  readonly name: string;
  /** How to call it; "run" where it may be opened as well, if it takes a context. */
  readonly verb: "run" | "stream" | "open";
}

export interface Exposed {
  readonly fn: Callable;
  readonly schemas: Schemas | undefined;
  /** Which verb it answers to: a generator function is streamed, any other function is run or opened. */
  readonly streams: boolean;
}

/** A function that every actor has, under its name after `furrow.`. A generator is streamed, as an exported one is. */
export interface BuiltIn {
  // oxlint-disable-next-line typescript/no-explicit-any -- arguments come from peers: each function checks its own
  readonly fn: (...args: any[]) => unknown;
  /** Whether it takes the permission to stop the actor, beside that to call it. */
  readonly needsStop?: boolean;
}

const generatorPrototypes: ReadonlySet<unknown> = new Set([
  Object.getPrototypeOf(function* () {}),
  Object.getPrototypeOf(async function* () {}),
]);

export class Dispatcher {
  readonly #self: ActorId;
  readonly #exposed = new Map<string, Exposed>();
  /** What the exposed functions were exported by. */
  readonly modules: string[] = [];
  /** The runtime's own functions. A user's function can hide one under its short name, but not under its group's. */
  readonly #own = new Map<string, Exposed>();
  /**
   * Loads the functions that every actor has; called when the first call of one arrives. Unlike a registrar's, they are
   * subject to the policy.
   */
  builtIns: (() => Readonly<Record<string, BuiltIn>>) | undefined;
  #builtIn: ReadonlyMap<string, Exposed & { readonly needsStop: boolean }> | undefined;

  constructor(self: ActorId) {
    this.#self = self;
  }

  /**
   * Lets peers call the functions that `namespace` exports, except `default` and classes.
   *
   * @throws {SpawnError} when a name is already exposed, or reserved for the runtime
   * @throws {LimitError} when there are too many
   */
  expose(namespace: object, specifier: string): void {
    for (const name of Object.keys(namespace)) {
      const fn: unknown = (namespace as Record<string, unknown>)[name];
      if (name === "default" || typeof fn !== "function" || isClass(fn)) continue;
      if (isRuntimeName(name)) {
        throw new SpawnError(
          `${specifier} exports a function "${name}", a name reserved for furrow: rename the export`,
        );
      }
      if (this.#exposed.has(name)) {
        throw new SpawnError(`both ${specifier} and another enabled module export a function "${name}"`);
      }
      this.#exposed.set(name, {
        fn: fn as Callable,
        schemas: schemasOf(fn),
        streams: isGenerator(fn),
      });
    }
    checkFunctions(Array.from(this.#exposed.keys()));
    this.modules.push(specifier);
  }

  /** How to call the exported function of this name; undefined if there is none. */
  verbOf(name: string): ExposedFunction["verb"] | undefined {
    const exposed = this.#exposed.get(name);
    return exposed === undefined ? undefined : exposed.streams ? "stream" : "run";
  }

  /** The functions of the enabled modules. */
  functions(): ExposedFunction[] {
    return Array.from(this.#exposed, ([name, { streams }]) => ({ name, verb: streams ? "stream" : "run" }));
  }

  /** Lets peers call functions of the runtime, as `<name>` and as `<group>.<name>`; exports can't hide the latter. */
  serve(group: string, functions: Readonly<Record<string, Callable>>): void {
    for (const [name, fn] of Object.entries(functions)) {
      const exposed = { fn, schemas: undefined, streams: false };
      this.#own.set(name, exposed).set(`${group}.${name}`, exposed);
    }
  }

  unserve(group: string): void {
    for (const name of Array.from(this.#own.keys())) {
      if (name.startsWith(`${group}.`)) {
        this.#own.delete(name);
        this.#own.delete(name.slice(group.length + 1));
      }
    }
  }

  /** Whether the name is that of a function of the runtime, and not of an export. */
  isOwn(name: string): boolean {
    return name.startsWith(builtInPrefix) || (this.#own.has(name) && !this.#exposed.has(name));
  }

  /**
   * Finds the function with this name, for this verb. A registrar's functions are open to every peer.
   *
   * @throws {PermissionDeniedError} when the peer may not call it, whether it exists or not
   * @throws {NotExposedError} when it doesn't exist, or needs a different verb
   */
  find(name: string, verb: "run" | "stream" | "open", permissions: Permissions): Exposed {
    const mine = this.#exposed.get(name);
    let exposed = mine ?? this.#own.get(name);
    if (permissions.mayCall !== undefined && (mine !== undefined || exposed === undefined)) {
      checkCall(permissions, name, describeActor(this.#self));
    }
    exposed ??= this.#findBuiltIn(name, permissions);
    if (exposed === undefined) {
      const who = describeActor(this.#self);
      const hint = this.#hint(name);
      throw new NotExposedError(`no module enabled in ${who} exports a function "${name}"; ${hint}`);
    }
    if (exposed.streams !== (verb === "stream")) {
      const who = describeActor(this.#self);
      throw new NotExposedError(
        exposed.streams
          ? `"${name}" of ${who} is a generator: use portal.stream.${name}(...)`
          : `"${name}" of ${who} is not a generator: use portal.run.${name}(...), or open if it takes a context`,
      );
    }
    return exposed;
  }

  /** @throws {PermissionDeniedError} when it needs the permission to stop, which the peer lacks */
  #findBuiltIn(name: string, permissions: Permissions): Exposed | undefined {
    if (!name.startsWith(builtInPrefix)) return undefined;
    this.#builtIn ??= new Map(
      Object.entries(this.builtIns?.() ?? {}).map(([short, { fn, needsStop = false }]) => [
        builtInPrefix + short,
        { fn, needsStop, schemas: undefined, streams: isGenerator(fn) },
      ]),
    );
    const found = this.#builtIn.get(name);
    if (found?.needsStop === true && !permissions.mayStop()) {
      const who = describeActor(this.#self);
      throw new PermissionDeniedError(
        `the policy of ${who} doesn't let this peer stop it, and so not call "${name}"`,
      );
    }
    return found;
  }

  /** Suggests what the caller may have meant. */
  #hint(name: string): string {
    const known = [...this.#exposed.keys(), ...this.#own.keys(), ...(this.#builtIn?.keys() ?? [])];
    const near = nearest(name, known);
    if (near !== undefined) return `did you mean "${near}"?`;
    const names = Array.from(this.#exposed.keys(), (one) => `"${one}"`);
    if (names.length === 0) return "there are none";
    const rest = names.length - maxListed;
    return `there are ${names.slice(0, maxListed).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
  }
}

/**
 * Checks the names of all functions of an actor.
 *
 * @throws {LimitError} when there are too many, or they are too long
 */
export function checkFunctions(names: readonly string[]): void {
  if (names.length > maxFunctions)
    throw new LimitError(
      `${names.length} exposed functions exceed the limit of ${maxFunctions} for an actor`,
    );
  const bytes = names.reduce((sum, name) => sum + Buffer.byteLength(name), 0);
  if (bytes > maxFunctionBytes)
    throw new LimitError(
      `names of exposed functions of ${bytes} B exceed ${maxFunctionBytes} B for an actor`,
    );
}

/** The known name with the smallest edit distance, if that is small for its length. */
function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let fewest = Math.min(3, Math.ceil(name.length / 3)) + 1;
  if (name.length > maxCompared) return undefined;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= fewest) continue;
    const changes = changesBetween(name.toLowerCase(), candidate.toLowerCase());
    if (changes < fewest) [best, fewest] = [candidate, changes];
  }
  return best;
}

/** The Levenshtein distance, computed row by row. */
function changesBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let left = 1; left <= from.length; left++) {
    const next = [left];
    for (let at = 1; at <= to.length; at++) {
      const replaced = row[at - 1]! + (from[left - 1] === to[at - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[at]! + 1, next[at - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

function isGenerator(fn: object): boolean {
  return generatorPrototypes.has(Object.getPrototypeOf(fn));
}

function isClass(fn: object): boolean {
  return /^class\b/.test(Function.prototype.toString.call(fn));
}
