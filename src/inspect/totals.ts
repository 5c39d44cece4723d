/**
 * Adds up the reports of a tree by the names of its actors. What processes counted that have ended since stays in the sums,
 * so that counters only grow.
 */
import { noCounts } from "./histogram.ts";
import { type ActorReport, otherName, type Sample } from "./sample.ts";

/** How many names of actors are told apart; the rest counts as one. */
const maxNames = 1_000;

/** A name of a function, which can be any text, without the line breaks that part the labels. */
function lineOf(name: string): string {
  return name.replaceAll("\n", " ");
}

/** Sums by labels. The key is the values of the labels, which have no line breaks. */
export class Sums {
  readonly values: Map<string, number> = new Map();

  add(key: string, value: number): void {
    this.values.set(key, (this.values.get(key) ?? 0) + value);
  }

  addAll(other: Sums): void {
    for (const [key, value] of other.values) this.add(key, value);
  }
}

/** Histograms by labels. */
export class Histograms {
  readonly values: Map<string, { readonly buckets: number[]; sumSeconds: number }> = new Map();

  add(key: string, buckets: readonly number[], sumSeconds: number): void {
    let one = this.values.get(key);
    if (one === undefined) {
      one = { buckets: noCounts(), sumSeconds: 0 };
      this.values.set(key, one);
    }
    for (const [at, count] of buckets.entries()) one.buckets[at]! += count;
    one.sumSeconds += sumSeconds;
  }

  addAll(other: Histograms): void {
    for (const [key, { buckets, sumSeconds }] of other.values) this.add(key, buckets, sumSeconds);
  }
}

/** What only grows. */
class Counters {
  readonly served: Histograms = new Histograms();
  readonly servedErrors: Sums = new Sums();
  readonly asked: Histograms = new Histograms();
  readonly askedErrors: Sums = new Sums();
  readonly items: Sums = new Sums();
  readonly stalledSeconds: Sums = new Sums();
  readonly bytes: Sums = new Sums();
  readonly cpuSeconds: Sums = new Sums();
  readonly lookups: Sums = new Sums();

  addAll(other: Counters): void {
    this.served.addAll(other.served);
    this.servedErrors.addAll(other.servedErrors);
    this.asked.addAll(other.asked);
    this.askedErrors.addAll(other.askedErrors);
    this.items.addAll(other.items);
    this.stalledSeconds.addAll(other.stalledSeconds);
    this.bytes.addAll(other.bytes);
    this.cpuSeconds.addAll(other.cpuSeconds);
    this.lookups.addAll(other.lookups);
  }

  addSample(actor: string, sample: Sample): void {
    for (const { name: method, buckets, sumSeconds, errors } of sample.functions) {
      const name = lineOf(method);
      this.served.add(`${actor}\n${name}`, buckets, sumSeconds);
      for (const [code, count] of Object.entries(errors))
        this.servedErrors.add(`${actor}\n${name}\n${code}`, count);
    }
    for (const { actor: callee, name, buckets, sumSeconds, errors } of sample.asked) {
      const key = `${actor}\n${callee}\n${lineOf(name)}`;
      this.asked.add(key, buckets, sumSeconds);
      for (const [code, count] of Object.entries(errors)) this.askedErrors.add(`${key}\n${code}`, count);
    }
    for (const { name, side, sent, received, stalledSeconds } of sample.flows) {
      const key = `${actor}\n${lineOf(name)}\n${side}`;
      if (sent > 0) this.items.add(`${key}\nsent`, sent);
      if (received > 0) this.items.add(`${key}\nreceived`, received);
      this.stalledSeconds.add(key, stalledSeconds);
    }
    this.bytes.add(`${actor}\nsent`, sample.bytes.sent);
    this.bytes.add(`${actor}\nreceived`, sample.bytes.received);
    this.cpuSeconds.add(actor, sample.cpuSeconds);
    this.lookups.add(`${actor}\ncache`, sample.lookups.hits);
    this.lookups.add(`${actor}\nregistrar`, sample.lookups.requests);
  }
}

/** A tree as of now, added up. */
export class Totals extends Counters {
  /** How many processes of the name answered. */
  readonly up: Sums = new Sums();
  readonly restarts: Sums = new Sums();
  readonly inFlight: Sums = new Sums();
  readonly peers: Sums = new Sums();
  readonly registered: Sums = new Sums();
  readonly rssBytes: Sums = new Sums();
  readonly lagSeconds: Sums = new Sums();
}

/** Remembers from one look at a tree to the next. */
export class Accumulator {
  /** What each process counted when it answered last. */
  #last = new Map<string, { readonly actor: string; readonly sample: Sample }>();
  /** Of processes that have ended. */
  readonly #ended = new Counters();
  readonly #names = new Set<string>();
  readonly #restarts = new Map<string, number>();

  add(reports: readonly ActorReport[]): Totals {
    const totals = new Totals();
    const last = new Map<string, { actor: string; sample: Sample }>();
    for (const { id, restarts, sample } of reports) {
      const actor = this.#labelOf(id.name);
      totals.restarts.add(actor, restarts);
      totals.up.add(actor, sample === null ? 0 : 1);
      const known = sample ?? this.#last.get(id.uuid)?.sample;
      if (known !== undefined) last.set(id.uuid, { actor, sample: known });
      if (sample !== null) addGauges(totals, actor, sample);
    }
    for (const [uuid, { actor, sample }] of this.#last)
      if (!last.has(uuid)) this.#ended.addSample(actor, sample);
    this.#last = last;
    totals.addAll(this.#ended);
    for (const { actor, sample } of last.values()) totals.addSample(actor, sample);
    this.#keepRestarts(totals.restarts);
    return totals;
  }

  /** The restarts of a child are gone with it. */
  #keepRestarts({ values }: Sums): void {
    for (const [actor, count] of values) {
      const most = Math.max(count, this.#restarts.get(actor) ?? 0);
      this.#restarts.set(actor, most);
      values.set(actor, most);
    }
  }

  #labelOf(name: string): string {
    if (!this.#names.has(name) && this.#names.size >= maxNames) return otherName;
    this.#names.add(name);
    return name;
  }
}

function addGauges(totals: Totals, actor: string, sample: Sample): void {
  for (const { name, inFlight } of sample.functions)
    totals.inFlight.add(`${actor}\n${lineOf(name)}`, inFlight);
  totals.peers.add(actor, sample.peerCount);
  totals.rssBytes.add(actor, sample.rssBytes);
  if (sample.registrar !== null) totals.registered.add(actor, sample.registrar.actors);
  const lag = Math.max(sample.loop.lagMs / 1_000, totals.lagSeconds.values.get(actor) ?? 0);
  totals.lagSeconds.values.set(actor, lag);
}
