/**
 * Which of a name's instances a lookup wants: `where` and `needs` leave some out, `pick` decides the order in which the
 * others are tried.
 */
import { isRecord, metadataFault } from "../actor/metadata.ts";
import type { Details, Metadata } from "../actor/details.ts";
import { ActorNotFoundError, type FurrowError, NotExposedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { DetailedFound, type Found, type FoundRegistration } from "./registration.ts";

/** Which instance to take, where several would do. */
export type PickOption = "last" | "first" | "random" | "least-busy";

export interface SelectOptions {
  /**
   * Which instance, where several would do: the last or first that registered, any, or the one with the fewest calls in
   * flight from this process, and from others where the actor reports them here (among equals, any). Default "last". The next in that order is tried if it can't be reached.
   */
  readonly pick?: PickOption;
  /** Only instances whose metadata has each of these keys, with an equal value. */
  readonly where?: Metadata;
  /** Only instances that expose functions of all these names. */
  readonly needs?: readonly string[];
}

const picks: readonly unknown[] = ["last", "first", "random", "least-busy"] satisfies PickOption[];

/** How many instances an error describes. */
const maxDescribed = 5;

export class Selection {
  readonly #pick: PickOption;
  readonly #where: readonly (readonly [key: string, value: string | number | boolean])[];
  readonly #needs: readonly string[];

  /**
   * @throws {RangeError} when `pick` is unknown
   * @throws {TypeError} when `where` isn't metadata, or `needs` not a list of names
   */
  constructor({ pick = "last", where = {}, needs = [] }: SelectOptions) {
    if (!picks.includes(pick))
      throw new RangeError(`pick must be one of ${picks.join(", ")}, got ${JSON.stringify(pick)}`);
    if (!isRecord(where)) throw new TypeError("where must be a plain object");
    for (const [key, value] of Object.entries(where)) {
      const fault = metadataFault(key, value);
      if (fault !== undefined) throw new TypeError(`where: ${fault}`);
    }
    if (!Array.isArray(needs) || !needs.every((name) => typeof name === "string"))
      throw new TypeError("needs must be an array of function names");
    this.#pick = pick;
    this.#where = Object.entries(where);
    this.#needs = [...needs];
  }

  /** Whether it depends on more than which instances there are. */
  get needsDetails(): boolean {
    return this.#where.length > 0 || this.#needs.length > 0;
  }

  /** Those that fit, in the same order. */
  filter(found: Found): Found {
    return this.needsDetails ? found.filter((one) => this.#lack(one) === undefined) : found;
  }

  /** In the order of trying them. `load` says how busy one is. */
  order(found: Found, load: (id: ActorId) => number): Found {
    switch (this.#pick) {
      case "last":
        return found.toReversed();
      case "first":
        return found;
      case "random":
        return shuffled(found);
      case "least-busy": {
        const loads = new Map(found.map((one) => [one, load(one.id)]));
        return shuffled(found).sort((a, b) => loads.get(a)! - loads.get(b)!);
      }
    }
  }

  /** Why each of them doesn't fit, for the cause of an error; of many only the last few. */
  lacks(found: Found): FurrowError[] {
    // several registrars may have answered
    const all = Array.from(new Map(found.map((one) => [one.id.uuid, one])).values());
    return all.slice(-maxDescribed).flatMap((one) => this.#lack(one) ?? []);
  }

  /** What one that doesn't fit lacks. */
  whyNot(found: FoundRegistration): string | undefined {
    return this.#lack(found)?.message;
  }

  #lack(found: FoundRegistration): FurrowError | undefined {
    const { metadata, functions } = found instanceof DetailedFound ? found.details : nothing;
    const missing = this.#needs.filter((name) => !functions.some((fn) => fn.name === name));
    if (missing.length > 0) {
      const names = missing.map((name) => `"${name}"`).join(", ");
      return new NotExposedError(`${describeActor(found.id)} exposes no function ${names}`);
    }
    const other = this.#where.find(
      ([key, value]) => !Object.hasOwn(metadata, key) || metadata[key] !== value,
    );
    if (other === undefined) return undefined;
    const [key, wanted] = other;
    const has = Object.hasOwn(metadata, key) ? JSON.stringify(metadata[key]) : "not there";
    const text = `the metadata ${JSON.stringify(key)} of ${describeActor(found.id)} is ${has}, not ${JSON.stringify(wanted)}`;
    return new ActorNotFoundError(text);
  }
}

const nothing: Pick<Details, "metadata" | "functions"> = { metadata: {}, functions: [] };

function shuffled(found: Found): FoundRegistration[] {
  const list = [...found];
  for (let at = list.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [list[at], list[other]] = [list[other]!, list[at]!];
  }
  return list;
}
