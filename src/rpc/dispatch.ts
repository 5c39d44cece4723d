/** The functions that peers may call: the own exports of the enabled modules, and nothing else. */
import { NotExposedError, SpawnError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { type Schemas, schemasOf } from "./validated.ts";

type Callable = (...args: unknown[]) => unknown;

/** Which verb a function answers to: a generator function streams, every other one is run (or opened). */
export interface Exposed {
  readonly fn: Callable;
  readonly schemas: Schemas | undefined;
  readonly streams: boolean;
}

const generatorPrototypes: ReadonlySet<unknown> = new Set([
  Object.getPrototypeOf(function* () {}),
  Object.getPrototypeOf(async function* () {}),
]);

export class Dispatcher {
  readonly #self: ActorId;
  readonly #exposed = new Map<string, Exposed>();
  /** Functions of the runtime itself, on top of the user's; a user's function of the same name hides one. */
  readonly #own = new Map<string, Exposed>();

  constructor(self: ActorId) {
    this.#self = self;
  }

  /**
   * Lets peers call the functions that `namespace` exports under their own names: no `default`, no class.
   *
   * @throws {SpawnError} when a name is exposed already
   */
  expose(namespace: object, specifier: string): void {
    for (const name of Object.keys(namespace)) {
      const fn: unknown = (namespace as Record<string, unknown>)[name];
      if (name === "default" || typeof fn !== "function" || isClass(fn)) continue;
      if (this.#exposed.has(name)) {
        throw new SpawnError(`function "${name}" is exported by ${specifier} and by another enabled module`);
      }
      this.#exposed.set(name, {
        fn: fn as Callable,
        schemas: schemasOf(fn),
        streams: generatorPrototypes.has(Object.getPrototypeOf(fn)),
      });
    }
  }

  /** Lets peers call functions of the runtime, as `name` and as `<group>.<name>`, which no export can hide. */
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

  /**
   * The function of that name, for that verb.
   *
   * @throws {NotExposedError} when there is none, or it is for another verb
   */
  find(name: string, verb: "run" | "stream" | "open"): Exposed {
    const exposed = this.#exposed.get(name) ?? this.#own.get(name);
    if (exposed === undefined) {
      const who = describeActor(this.#self);
      throw new NotExposedError(`"${name}" is no exported function of the modules enabled in ${who}`);
    }
    if (exposed.streams !== (verb === "stream")) {
      const who = describeActor(this.#self);
      throw new NotExposedError(
        exposed.streams
          ? `"${name}" of ${who} is a generator: use portal.stream.${name}(...)`
          : `"${name}" of ${who} is no generator: use portal.run.${name}(...), or open where it takes a context`,
      );
    }
    return exposed;
  }
}

function isClass(fn: object): boolean {
  return /^class\b/.test(Function.prototype.toString.call(fn));
}
