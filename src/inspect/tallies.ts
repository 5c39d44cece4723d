/** What is counted of requests, function by function. */
import { FurrowError } from "../errors.ts";
import type { Failure, Following, Verb } from "../rpc/observer.ts";
import { Histogram } from "./histogram.ts";
import { type FunctionSample, otherName } from "./sample.ts";

/** How many functions are told apart; the rest counts as one. */
const maxTallies = 1_024;

/** How many codes of errors are told apart: a program may have errors with codes of its own. */
const maxCodes = 64;

/** One function. */
export class Tally {
  readonly name: string;
  readonly verb: Verb;
  readonly #durations = new Histogram();
  readonly #errors = new Map<string, number>();
  #calls = 0;

  constructor(name: string, verb: Verb) {
    this.name = name;
    this.verb = verb;
  }

  add(ms: number, failure: Failure | undefined, codeOf: (error: unknown) => string): void {
    this.#calls++;
    this.#durations.add(ms);
    if (failure === undefined) return;
    let code = codeOf(failure.error);
    if (!this.#errors.has(code) && this.#errors.size >= maxCodes) code = otherName;
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  sample(): Omit<FunctionSample, "inFlight"> {
    const { name, verb } = this;
    return {
      name,
      verb,
      calls: this.#calls,
      errors: Object.fromEntries(this.#errors),
      ...this.#durations.sample(),
    };
  }
}

/** The functions of one side, by a key of text. */
export class Tallies {
  readonly #byKey = new Map<string, Tally>();

  of(key: string, name: string, verb: Verb): Tally {
    let tally = this.#byKey.get(key);
    if (tally !== undefined) return tally;
    if (this.#byKey.size >= maxTallies && name !== otherName) return this.of(otherName, otherName, "run");
    tally = new Tally(name, verb);
    this.#byKey.set(key, tally);
    return tally;
  }

  entries(): IterableIterator<[key: string, tally: Tally]> {
    return this.#byKey.entries();
  }
}

/** The code that the caller of a function gets. What isn't furrow's own error reaches it as a `RemoteActorError`. */
export function servedCode(error: unknown): string {
  return error instanceof FurrowError ? error.code : "ERR_REMOTE_ACTOR";
}

/** The code of what a call of this actor rejected with. After an abort that can be anything. */
export function askedCode(error: unknown): string {
  return error instanceof FurrowError ? error.code : otherName;
}

/** A request that is counted when it ends. */
export class Counted implements Following {
  readonly #tally: Tally;
  readonly #codeOf: (error: unknown) => string;
  /** When it began, on the clock of `performance.now()`. */
  readonly since: number = performance.now();

  constructor(tally: Tally, codeOf: (error: unknown) => string) {
    this.#tally = tally;
    this.#codeOf = codeOf;
  }

  run<T>(work: () => T): T {
    return work();
  }

  end(failure?: Failure): void {
    this.#tally.add(performance.now() - this.since, failure, this.#codeOf);
  }
}
