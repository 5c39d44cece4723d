/** Which instance a call goes to, of those that calls may go to. Pure, except for chance. */
import { ownerOf, type Weighed } from "./rendezvous.ts";

/** Gives a call's key: calls with the same key go to the same instance. */
export type KeyOf = (fn: string, args: readonly unknown[]) => string;

/** How calls are spread over the instances; see `ServiceOptions`. */
export type ServiceBy = "round-robin" | "random" | "least-busy" | KeyOf;

/** What the choice depends on. */
export interface Candidate extends Weighed {
  /** How busy it is. */
  readonly load: number;
}

/** Chooses one; undefined only when there is none. */
export type Balance<T extends Candidate> = (
  among: readonly T[],
  fn: string,
  args: readonly unknown[],
) => T | undefined;

const ways: readonly unknown[] = ["round-robin", "random", "least-busy"] satisfies ServiceBy[];

/** @throws {RangeError} when `by` is none of these */
export function checkBy(by: unknown): asserts by is ServiceBy {
  if (typeof by === "function" || ways.includes(by)) return;
  throw new RangeError(
    `by must be one of ${ways.join(", ")}, or a function that gives a key; got ${JSON.stringify(by)}`,
  );
}

export function balanceBy<T extends Candidate>(by: ServiceBy): Balance<T> {
  switch (by) {
    case "round-robin":
      return inTurn<T>();
    case "random":
      return (among) => among[Math.floor(Math.random() * among.length)];
    case "least-busy":
      return leastBusy<T>();
    default:
      return (among, fn, args) => ownerOf(keyFrom(by, fn, args), among);
  }
}

/** One after the other. It begins anywhere: many processes that make a call each must not all call the first. */
function inTurn<T>(): Balance<T & Candidate> {
  let at = -1;
  return (among) => {
    at = at < 0 ? Math.floor(Math.random() * among.length) : at + 1;
    if (at >= among.length) at = 0;
    return among[at];
  };
}

/** The least busy; of several the next in turn, so that idle ones share the calls. */
function leastBusy<T extends Candidate>(): Balance<T> {
  let from = Math.floor(Math.random() * 0x1000);
  return (among) => {
    const { length } = among;
    if (length === 0) return undefined;
    from = (from + 1) % length;
    let least = among[from]!;
    let load = least.load;
    for (let step = 1; step < length && load > 0; step++) {
      const one = among[(from + step) % length]!;
      const other = one.load;
      if (other < load) [least, load] = [one, other];
    }
    return least;
  };
}

/** @throws {TypeError} when the function gives anything but a string; what it throws itself */
function keyFrom(by: KeyOf, fn: string, args: readonly unknown[]): string {
  const key: unknown = by(fn, args);
  if (typeof key === "string") return key;
  throw new TypeError(
    `the key of a call must be a string; for ${fn} the function of "by" gave ${typeof key}`,
  );
}
