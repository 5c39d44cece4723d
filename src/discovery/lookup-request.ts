/** One request to a registrar for a name. */
import type { Answer } from "../rpc/session.ts";
import { type Asker, CachedName, type Underway } from "./cached-name.ts";
import {
  type Answered,
  decodeAnswer,
  decodeRegistrations,
  type Found,
  type FoundRegistration,
  lastOf,
  listOf,
} from "./registration.ts";

/** What a link hears of its requests. */
export interface LookupHost {
  /** The first part of a long answer has arrived. */
  onBegun(request: LookupRequest): void;
  /** Called when a request ends, before its promise settles; and again with an answer that comes after that, too late. */
  onOver(request: LookupRequest, answered: Answered | undefined): void;
}

/** A lookup in progress, shared by all that wait for it. */
export class LookupRequest implements Answer, Underway {
  readonly name: string;
  readonly entry: CachedName;
  readonly since: number = performance.now();
  /** When the registrar was heard of last: since then it is silent. */
  heardAt: number = this.since;
  isOver = false;
  readonly #host: LookupHost;
  /** The first to ask, nearly always the only one. */
  #asker: Asker | undefined;
  /** For all others. */
  #shared: PromiseWithResolvers<Found> | undefined;
  #parts: FoundRegistration[] | undefined;
  #pushed: Push[] | undefined;

  constructor(name: string, entry: CachedName, host: LookupHost, asker?: Asker) {
    this.name = name;
    this.entry = entry;
    this.#host = host;
    this.#asker = asker;
    if (asker === undefined) this.#shared = Promise.withResolvers();
  }

  /** For one who comes while it is underway. */
  get promise(): Promise<Found> {
    return (this.#shared ??= Promise.withResolvers()).promise;
  }

  join(asker: Asker): void {
    this.promise.then(
      (list) => asker.found(list.at(-1)),
      (error: unknown) => asker.failed(error, this.since),
    );
  }

  /** Whether a part of its answer has arrived: what was pushed after it has timed out isn't known. */
  get hasBegun(): boolean {
    return this.#parts !== undefined;
  }

  /** Takes what the registrar has pushed since the first part of its answer, which is as of then. */
  push(push: Push): void {
    (this.#pushed ??= []).push(push);
  }

  takePart(part: unknown[]): void {
    this.heardAt = performance.now();
    const decoded = decodeRegistrations(this.name, part);
    if (this.#parts === undefined) {
      this.#parts = [];
      this.#host.onBegun(this);
    }
    for (const one of decoded) this.#parts.push(one);
  }

  resolve(answer: unknown): void {
    const { name, isOver: isLate } = this;
    let answered: Answered;
    try {
      answered = decodeAnswer(name, answer);
      if (this.#parts !== undefined)
        answered = withPushes(this.#parts.concat(listOf(name, answered)), this.#pushed ?? []);
    } catch (error) {
      this.reject(error);
      throw error;
    }
    this.#over(answered);
    if (isLate) return;
    this.#asker?.found(lastOf(name, answered));
    this.#shared?.resolve(listOf(name, answered));
  }

  reject(error: unknown): void {
    const isLate = this.isOver;
    this.#over(undefined);
    if (isLate) return;
    this.#asker?.failed(error, this.since);
    this.#shared?.reject(error);
  }

  #over(answered: Answered | undefined): void {
    this.#host.onOver(this, answered);
    this.isOver = true;
  }
}

/** A list with the changes that were pushed since it was begun, applied as the cache applies them. */
function withPushes(list: Found, pushed: readonly Push[]): Found {
  const name = new CachedName("");
  name.set(list);
  for (const push of pushed)
    if ("found" in push) name.put(push.found, push.before);
    else name.remove(push.uuid);
  return name.list!;
}

/** A change of a name that the registrar has pushed. */
export type Push =
  | { readonly found: FoundRegistration; readonly before: string | null | undefined }
  | { readonly uuid: string };
