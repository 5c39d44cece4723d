/** The streams and dialogs of an actor: how many messages went each way, who waits, and for how long. */
import type { Outbox } from "../rpc/flow.ts";
import type { ExchangeEnds, OpenExchange } from "../rpc/observer.ts";
import { type FlowSample, otherName, type StreamSample } from "./sample.ts";

/** How many streams and dialogs a sample lists. */
const maxListed = 256;
/** How many functions are told apart. */
const maxTotals = 1_024;

/** The end that a stream or dialog is known by. */
function keyOf({ outbox, inbox }: ExchangeEnds): object | undefined {
  return outbox ?? inbox;
}

class Track {
  readonly exchange: OpenExchange;
  /** Undefined if it began before the measuring. */
  readonly startedAt: number | undefined;
  /** Since when its writer waits for credit. */
  stalledSince: number | undefined;
  stalledMs = 0;
  /** What had been sent and received when it was first seen; that doesn't count. */
  readonly #sentBefore: number;
  readonly #receivedBefore: number;
  /** What the last sample saw, and since when it has been so. */
  #received = -1;
  #receivedSince = 0;

  constructor(exchange: OpenExchange, startedAt: number | undefined) {
    this.exchange = exchange;
    this.startedAt = startedAt;
    this.#sentBefore = this.#sent;
    this.#receivedBefore = this.#receivedNow;
  }

  get sent(): number {
    return this.#sent - this.#sentBefore;
  }

  get received(): number {
    return this.#receivedNow - this.#receivedBefore;
  }

  get #sent(): number {
    return this.exchange.outbox?.state.sent ?? 0;
  }

  get #receivedNow(): number {
    return this.exchange.inbox?.state.received ?? 0;
  }

  stalledMsAt(now: number): number {
    return this.stalledMs + (this.stalledSince === undefined ? 0 : now - this.stalledSince);
  }

  sample(now: number): StreamSample {
    const { name, verb, side, peer, outbox, inbox } = this.exchange;
    const sending = outbox?.state;
    const receiving = inbox?.state;
    if (receiving !== undefined && receiving.received !== this.#received) {
      this.#received = receiving.received;
      this.#receivedSince = now;
    }
    const waitsFor = sending?.waitsFor ?? (receiving?.isAwaited === true ? "message" : null);
    const since = waitsFor === "message" ? this.#receivedSince : (this.stalledSince ?? now);
    return {
      name,
      verb,
      side,
      peer: { name: peer.name, uuid: peer.uuid },
      sent: sending?.sent ?? 0,
      received: receiving?.received ?? 0,
      credit: sending?.credit ?? null,
      queued: sending?.queued ?? 0,
      unread: receiving?.unread ?? 0,
      waitsFor,
      waitedMs: waitsFor === null ? 0 : now - since,
      ageMs: this.startedAt === undefined ? null : now - this.startedAt,
    };
  }
}

interface Total {
  sent: number;
  received: number;
  stalledMs: number;
}

export class Flows {
  readonly #tracks = new Map<object, Track>();
  /** Of those that have ended. */
  readonly #totals = new Map<string, Total>();

  /** One begins. */
  begin(exchange: OpenExchange): void {
    const key = keyOf(exchange);
    if (key !== undefined) this.#tracks.set(key, new Track(exchange, performance.now()));
  }

  end(ends: ExchangeEnds): void {
    const key = keyOf(ends);
    const track = key === undefined ? undefined : this.#tracks.get(key);
    if (track === undefined) return;
    this.#tracks.delete(key!);
    const total = this.#totalOf(this.#totals, track);
    total.sent += track.sent;
    total.received += track.received;
    total.stalledMs += track.stalledMsAt(performance.now());
  }

  onStall(outbox: Outbox, isStalled: boolean): void {
    const track = this.#tracks.get(outbox);
    if (track === undefined) return;
    const now = performance.now();
    if (track.stalledSince !== undefined) track.stalledMs += now - track.stalledSince;
    track.stalledSince = isStalled ? now : undefined;
  }

  /** Takes in those that began before the measuring, and lets go of those whose end wasn't followed. */
  follow(open: Iterable<OpenExchange>): void {
    const now = performance.now();
    const left = new Set(this.#tracks.keys());
    for (const exchange of open) {
      const key = keyOf(exchange);
      if (key === undefined || left.delete(key)) continue;
      const track = new Track(exchange, undefined);
      if ((exchange.outbox?.state.queued ?? 0) > 0) track.stalledSince = now;
      this.#tracks.set(key, track);
    }
    for (const key of left) this.end(this.#tracks.get(key)!.exchange);
  }

  /** The open ones, those that wait longest first; and how many more there are. */
  streams(): { readonly listed: StreamSample[]; readonly leftOut: number } {
    const now = performance.now();
    const all = Array.from(this.#tracks.values(), (track) => track.sample(now));
    all.sort((one, other) => rankOf(other) - rankOf(one));
    return { listed: all.slice(0, maxListed), leftOut: Math.max(0, all.length - maxListed) };
  }

  totals(): FlowSample[] {
    const now = performance.now();
    const totals = new Map(Array.from(this.#totals, ([key, total]) => [key, { ...total }]));
    for (const track of this.#tracks.values()) {
      const total = this.#totalOf(totals, track);
      total.sent += track.sent;
      total.received += track.received;
      total.stalledMs += track.stalledMsAt(now);
    }
    return Array.from(totals, ([key, { sent, received, stalledMs }]) => {
      const [side = "", name = ""] = key.split("\n", 2);
      return { name, side: side as "callee" | "caller", sent, received, stalledSeconds: stalledMs / 1_000 };
    });
  }

  #totalOf(totals: Map<string, Total>, { exchange: { side, name } }: Track): Total {
    const own = `${side}\n${name}`;
    const key = totals.has(own) || totals.size < maxTotals ? own : `${side}\n${otherName}`;
    let total = totals.get(key);
    if (total === undefined) totals.set(key, (total = { sent: 0, received: 0, stalledMs: 0 }));
    return total;
  }
}

/** A reader that waits for the next message is a reader at rest: it comes after everything that waits to be read. */
function rankOf({ waitsFor, waitedMs }: StreamSample): number {
  return waitsFor === "credit" || waitsFor === "link" ? waitedMs + 1 : 0;
}
