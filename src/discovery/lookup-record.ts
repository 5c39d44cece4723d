/**
 * Notes what a lookup asks and dials, for its report: `explainLookup` returns it, and every error of the lookup has it.
 * It keeps what the lookup has at hand anyway, and puts words to it only when it is read. A lookup that is answered from
 * memory and needs no dial never makes one.
 */
import type { DialAttempt, DialTrace } from "../channel/dial-trace.ts";
import type { Peer } from "../channel/peer.ts";
import type { ActorId } from "../identity.ts";
import { FurrowError, type Stage, TimeoutError } from "../errors.ts";
import type { LookupReport, ReportedCandidate, ReportedDial } from "../lookup-report.ts";
import type { Session } from "../rpc/session.ts";
import { type Address, isAddress, parseAddress, type Transport } from "../transport/address.ts";
import { Question, reportRegistrars, rounded } from "./question.ts";
import type { RegistrarLink } from "./registrar-link.ts";
import type { Registrars } from "./registrars.ts";
import { type Found, type FoundRegistration, PlainFound } from "./registration.ts";
import type { Selection } from "./selection.ts";

export type Source = ReportedCandidate["source"];

/** What a record needs of its lookup. */
export interface RecordedLookup {
  readonly name: string;
  readonly registrars: Registrars;
  readonly registryAddrs: readonly Address[] | undefined;
  readonly selection: Selection | undefined;
  /** Whether the caller allows this transport. */
  allows(transport: Transport): boolean;
}

/** Instances of the name: those to try, in that order, among those that were found. */
interface Considered {
  readonly tried: Found;
  readonly found: Found;
  /** Undefined: from the answers to this lookup. */
  readonly source: Source | undefined;
}

/** A connection that a candidate has, without a dial of this lookup. */
interface Connection {
  readonly addr: Address;
  readonly reason: string;
}

export class LookupRecord {
  /** The failed dials, and the registrars that didn't answer: the cause of an `ActorNotFoundError`. */
  readonly failures: Error[] = [];
  readonly #lookup: RecordedLookup;
  readonly #since: number;
  readonly #questions: Question[] = [];
  readonly #considered: Considered[] = [];
  readonly #dials = new Map<string, DialTrace[]>();
  readonly #connected = new Map<string, Connection>();

  /** `since`: when the lookup began, by `performance.now()`. */
  constructor(lookup: RecordedLookup, since: number) {
    this.#lookup = lookup;
    this.#since = since;
  }

  /** Begins again, as a wait does after each change: a report is about the last round, but counts all the time. */
  again(): void {
    this.failures.length = 0;
    this.#questions.length = 0;
    this.#considered.length = 0;
    this.#dials.clear();
    this.#connected.clear();
  }

  /** A registrar is asked. */
  ask(registrar: RegistrarLink | Address, since: number = performance.now()): Question {
    const question = new Question(registrar, since);
    this.#questions.push(question);
    return question;
  }

  /** The registrars that haven't answered yet won't be waited for: others have. */
  overtaken(): void {
    for (const question of this.#questions) question.end("skipped", "another registrar answered first");
  }

  /** The lookup, or this round of asking, failed with this error before the other registrars have answered. */
  failed(error: unknown): void {
    for (const question of this.#questions) question.failed(error);
  }

  /** As `Lookup.consider`. */
  consider(tried: Found, found: Found = tried, source?: Source): void {
    this.#considered.push({ tried, found, source });
  }

  /** A connected peer answers for the name: no registrar is asked. */
  byPeer({ id, addrs, addr }: Peer<Session>): void {
    const own = [new PlainFound(id, addrs)];
    this.consider(own, own, "peer");
    this.connected(id.uuid, addr);
  }

  dialling(uuid: string, dial: DialTrace): void {
    const dials = this.#dials.get(uuid);
    if (dials === undefined) this.#dials.set(uuid, [dial]);
    else if (!dials.includes(dial)) dials.push(dial);
  }

  connected(uuid: string, addr: Address, reason = "connected already"): void {
    this.#connected.set(uuid, { addr, reason });
  }

  report(): LookupReport {
    const { name } = this.#lookup;
    const now = performance.now();
    const candidates = this.#candidates(now);
    const isByPeer = candidates.some(({ source }) => source === "peer");
    const registrars = isByPeer ? [] : reportRegistrars(this.#questions, this.#lookup, this.#since, now);
    return { name, registrars, candidates, ms: rounded(now - this.#since) };
  }

  /** Gives an error of furrow's the report, and returns it; a copy, if it has that of another lookup already. */
  attachTo(error: unknown): unknown {
    if (!(error instanceof FurrowError)) return error;
    // all lookups that wait for one dial or one answer get the same error
    const own = Object.hasOwn(error, "report") ? copyOf(error) : error;
    Object.defineProperty(own, "report", { value: this.report(), configurable: true, writable: true });
    return own;
  }

  #candidates(now: number): ReportedCandidate[] {
    const answers = new Map<string, Source>();
    for (const { found, source } of this.#questions)
      for (const { id } of found) if (!answers.has(id.uuid)) answers.set(id.uuid, source);
    const { registrars, name } = this.#lookup;
    const sourceOf = ({ id }: FoundRegistration, given: Source | undefined): Source => {
      const source = given ?? answers.get(id.uuid) ?? registrars.memory;
      return source !== "peer" && registrars.isMirrored(name, id) ? "mirror" : source;
    };
    const hasConnected = this.#connected.size > 0;
    const candidates = new Map<string, ReportedCandidate>();
    const add = (one: FoundRegistration, source: Source | undefined, unfit?: string): void => {
      const { uuid } = one.id;
      if (candidates.has(uuid)) return;
      candidates.set(uuid, {
        id: plainId(one.id),
        source: sourceOf(one, source),
        dials: this.#dialsOf(one, unfit, hasConnected, now),
      });
    };
    for (const { tried, source } of this.#considered) for (const one of tried) add(one, source);
    const { selection } = this.#lookup;
    for (const { found, source } of selection === undefined ? [] : this.#considered)
      for (const one of found) add(one, source, selection?.whyNot(one));
    return Array.from(candidates.values());
  }

  /** `unfit`: why the lookup's selection leaves it out. */
  #dialsOf(
    registration: FoundRegistration,
    unfit: string | undefined,
    hasConnected: boolean,
    now: number,
  ): ReportedDial[] {
    const { uuid } = registration.id;
    const traces = this.#dials.get(uuid) ?? [];
    const dials = traces.flatMap(({ attempts, stage }) =>
      attempts.map((one) => reportAttempt(one, stage, now)),
    );
    const connection = this.#connected.get(uuid);
    if (connection !== undefined && !dials.some(({ outcome }) => outcome === "connected"))
      dials.push({ addr: connection.addr, outcome: "connected", reason: connection.reason, ms: 0 });
    const listed = new Set<string>(dials.map(({ addr }) => addr));
    const order = registration.dialOrder();
    const rest = [...order, ...registration.addrs.filter((addr) => !order.includes(addr))];
    const why = whyNot(dials, hasConnected);
    for (const addr of rest) {
      if (listed.has(addr)) continue;
      listed.add(addr);
      const reason = unfit ?? this.#barrier(addr, order.includes(addr)) ?? why;
      dials.push({ addr, outcome: "skipped", reason, ms: 0 });
    }
    return dials;
  }

  /** Why an address can't be dialled, or must not be. */
  #barrier(addr: Address, isRanked: boolean): string | undefined {
    if (!isAddress(addr)) return "not an address";
    const { transport } = parseAddress(addr);
    if (!isRanked) return "a socket file of another host";
    return this.#lookup.allows(transport) ? undefined : `enableTransports leaves out ${transport}`;
  }
}

/** Why an instance's other addresses weren't dialled. */
function whyNot(dials: readonly ReportedDial[], hasConnected: boolean): string {
  const last = dials.at(-1);
  if (last?.outcome === "connected") return `connected at ${last.addr}`;
  if (last?.outcome === "silent") return `the actor is silent at ${last.addr}`;
  if (hasConnected) return "another instance answered first";
  return "the lookup was over before";
}

function reportAttempt({ addr, since, ms, error }: DialAttempt, stage: Stage, now: number): ReportedDial {
  if (ms === undefined) {
    const state = stage === "handshake" ? "accepted the connection, but said nothing" : "no connection";
    return {
      addr,
      outcome: "silent",
      reason: `${state} until the lookup was over`,
      ms: rounded(now - since),
    };
  }
  if (error === undefined) return { addr, outcome: "connected", ms: rounded(ms) };
  const outcome = error instanceof TimeoutError ? "silent" : "refused";
  return { addr, outcome, reason: error.message, ms: rounded(ms) };
}

/** Another error of the same class, with the same properties. */
function copyOf(error: FurrowError): Error {
  // not by Object.create: runtimes and tools recognise an error by more than its prototype
  const copy = new Error(error.message);
  Object.setPrototypeOf(copy, Object.getPrototypeOf(error) as object);
  return Object.defineProperties(copy, Object.getOwnPropertyDescriptors(error));
}

/** Without what else its object may carry. */
function plainId({ name, uuid, pid, host }: ActorId): ActorId {
  return { name, uuid, pid, host };
}
