/**
 * What an actor measures while somebody looks: the first reader begins it, the last one ends it, and what was counted goes
 * with that. Counters begin at 0 each time; a sample says when.
 */
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";
import { isRuntimeName } from "../rpc/callee/dispatch.ts";
import type { ExchangeEnds, Failure, Following, OpenExchange, Verb } from "../rpc/observer.ts";
import type { Session } from "../rpc/session.ts";
import { Flows } from "./flows.ts";
import { LoopLag } from "./loop-lag.ts";
import { Observation, type Watcher } from "./observation.ts";
import { RunningCalls } from "./running-calls.ts";
import { type AskedSample, type FunctionSample, otherName, type PeerSample, type Sample } from "./sample.ts";
import { askedCode, Counted, servedCode, Tallies } from "./tallies.ts";

/** How many connections a sample lists. */
const maxPeers = 256;
/** For readers that don't sample regularly. */
const defaultIntervalMs = 1_000;
const measuring: Part<Measuring> = new Part();

/** What is counted from the first reader to the last. */
class Counters implements Watcher {
  readonly since: number = performance.now();
  readonly served = new Tallies();
  readonly asked = new Tallies();
  readonly flows = new Flows();
  readonly calls: RunningCalls;
  /** Bytes of connections to others that have ended, less what those that are open had when the measuring began. */
  sentBytes = 0;
  receivedBytes = 0;
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.calls = new RunningCalls(runtime.sessions());
    for (const { channel } of runtime.peers) {
      this.sentBytes -= channel.link.writtenBytes;
      this.receivedBytes -= channel.link.readBytes;
    }
  }

  serves(verb: Verb, name: string, peer: ActorId, ends?: ExchangeEnds): Following | undefined {
    const { dispatcher } = this.#runtime;
    if (dispatcher.isOwn(name)) return undefined;
    const known = dispatcher.verbOf(name) === undefined ? otherName : name;
    return this.#begin(
      new Counted(this.served.of(known, known, verb), servedCode),
      "callee",
      verb,
      known,
      peer,
      ends,
    );
  }

  asks(verb: Verb, name: string, peer: ActorId, ends?: ExchangeEnds): Following | undefined {
    if (isRuntimeName(name)) return undefined;
    const tally = this.asked.of(`${peer.name}\n${name}`, name, verb);
    return this.#begin(new Counted(tally, askedCode), "caller", verb, name, peer, ends);
  }

  stalls(outbox: object, isStalled: boolean): void {
    this.flows.onStall(outbox as never, isStalled);
  }

  #begin(
    counted: Counted,
    side: OpenExchange["side"],
    verb: Verb,
    name: string,
    peer: ActorId,
    ends: ExchangeEnds | undefined,
  ): Following {
    if (verb === "run") return side === "callee" ? this.calls.begin(name, counted) : counted;
    if (ends === undefined) return counted;
    const { flows } = this;
    flows.begin({ side, verb, name, peer, ...ends });
    return {
      run: (work) => work(),
      end(failure?: Failure) {
        counted.end(failure);
        flows.end(ends);
      },
    };
  }
}

/** One who looks. */
export interface Reader extends Disposable {
  sample(): Sample;
}

export class Measuring {
  readonly #runtime: Runtime;
  readonly #readers = new Set<object>();
  readonly #lag = new LoopLag();
  #counters: Counters | undefined;
  #undo: (() => void)[] = [];

  private constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  static of(runtime: Runtime): Measuring {
    return measuring.ensure(runtime, () => new Measuring(runtime));
  }

  /** Measures until the result is disposed, and as long as there are other readers. `everyMs`: how often it takes a sample. */
  open(everyMs: number = defaultIntervalMs): Reader {
    const counters = (this.#counters ??= this.#begin());
    const reader = {
      sample: () => this.#sample(counters, reader),
      [Symbol.dispose]: () => this.#leave(reader),
    };
    this.#readers.add(reader);
    this.#lag.add(reader, everyMs);
    return reader;
  }

  #begin(): Counters {
    const runtime = this.#runtime;
    const counters = new Counters(runtime);
    counters.flows.follow(this.#open());
    const observation = Observation.of(runtime);
    observation.add(counters);
    const onEnd = ({ peer }: Session): void => {
      // to itself it has no connection
      if (peer.id.uuid === runtime.uuid) return;
      counters.sentBytes += peer.channel.link.writtenBytes;
      counters.receivedBytes += peer.channel.link.readBytes;
    };
    this.#undo = [() => observation.remove(counters), runtime.watchSessions(onEnd)];
    return counters;
  }

  #leave(reader: object): void {
    if (!this.#readers.delete(reader)) return;
    this.#lag.remove(reader);
    if (this.#readers.size > 0) return;
    this.#counters = undefined;
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** The streams and dialogs of the program, not those of the runtime itself. */
  *#open(): Generator<OpenExchange> {
    for (const session of this.#runtime.sessions())
      for (const exchange of session.exchanges()) if (!isRuntimeName(exchange.name)) yield exchange;
  }

  #sample(counters: Counters, reader: object): Sample {
    const runtime = this.#runtime;
    const { id, state, startedAt } = runtime;
    counters.flows.follow(this.#open());
    const { listed: streams, leftOut: streamsLeftOut } = counters.flows.streams();
    let [sent, received, unsentBytes] = [counters.sentBytes, counters.receivedBytes, 0];
    for (const { channel } of runtime.peers) {
      sent += channel.link.writtenBytes;
      received += channel.link.readBytes;
      unsentBytes += channel.link.pendingBytes;
    }
    const sessions = runtime.sessions();
    const { user, system } = process.cpuUsage();
    const { lookups, registrar = null, peers: peerCount } = runtime.stats();
    const now = Date.now();
    return {
      id,
      at: now,
      clockMs: performance.now(),
      sinceMs: counters.since,
      uptimeMs: now - startedAt,
      state,
      functions: servedSamples(counters.served, runtime),
      asked: askedSamples(counters.asked),
      flows: counters.flows.totals(),
      streams,
      streamsLeftOut,
      callsInFlight: sessions.reduce((sum, session) => sum + callsOf(session), 0),
      oldestCall: counters.calls.oldest(sessions, performance.now()),
      callsWaiting: runtime.guard?.gate?.waiting ?? 0,
      loop: { lagMs: this.#lag.take(reader) },
      rssBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
      bytes: { sent, received },
      unsentBytes,
      peerCount,
      ...peerSamples(runtime),
      lookups,
      registrar,
    };
  }
}

/** The calls, streams and dialogs in flight, without those that look. */
function callsOf(session: Session): number {
  let calls = session.callsToPeer;
  for (const { name } of session.served()) if (!isRuntimeName(name)) calls++;
  return calls;
}

function servedSamples(tallies: Tallies, runtime: Runtime): FunctionSample[] {
  const inFlight = new Map<string, number>();
  for (const session of runtime.sessions())
    for (const { name } of session.served()) inFlight.set(name, (inFlight.get(name) ?? 0) + 1);
  // those included whose calls all began before the measuring
  for (const name of inFlight.keys()) {
    const verb = runtime.dispatcher.verbOf(name);
    if (verb !== undefined) tallies.of(name, name, verb);
  }
  const samples = Array.from(tallies.entries(), ([, tally]) => ({
    ...tally.sample(),
    inFlight: inFlight.get(tally.name) ?? 0,
  }));
  const other = samples.find(({ name }) => name === otherName);
  return other === undefined ? samples : [...samples.filter((one) => one !== other), other];
}

function askedSamples(tallies: Tallies): AskedSample[] {
  return Array.from(tallies.entries(), ([key, tally]) => ({
    actor: key === otherName ? otherName : key.slice(0, key.lastIndexOf("\n")),
    ...tally.sample(),
  }));
}

/** The connections; those with something unsent or unread first. */
export function peerSamples(runtime: Runtime): {
  readonly peers: PeerSample[];
  readonly peersLeftOut: number;
} {
  const all: PeerSample[] = Array.from(runtime.peers, ({ id, transport, channel, handler }) => ({
    name: id.name,
    uuid: id.uuid,
    pid: id.pid,
    transport,
    unsentBytes: channel.link.pendingBytes,
    unreadBytes: handler.unreadBytes,
    callsInFlight: callsOf(handler),
  }));
  if (all.length > maxPeers)
    all.sort((one, other) => other.unsentBytes + other.unreadBytes - one.unsentBytes - one.unreadBytes);
  return { peers: all.slice(0, maxPeers), peersLeftOut: Math.max(0, all.length - maxPeers) };
}
