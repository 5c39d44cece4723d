/** What `furrow.inspect` sends: counters that only grow, with the clock of the actor. Rates are up to the reader. */
import type { LookupStats, RegistrarStats } from "../actor/actor.ts";
import type { ActorId } from "../identity.ts";
import type { OutboxState } from "../rpc/flow.ts";
import type { Verb } from "../rpc/observer.ts";
import type { Transport } from "../transport/address.ts";
import type { HistogramSample } from "./histogram.ts";

/** Stands for functions that the actor doesn't have, and for those beyond the most that are told apart. */
export const otherName = "_OTHER";

/** One function, as its actor serves it. Counted since the measuring began. */
export interface FunctionSample extends HistogramSample {
  readonly name: string;
  readonly verb: Verb;
  /** How many have ended: with a result, or an error. */
  readonly calls: number;
  /** How many of them failed, by the code of the error that the caller got. What the function itself threw is `ERR_REMOTE_ACTOR`. */
  readonly errors: Readonly<Record<string, number>>;
  /** How many run or wait for their turn now. */
  readonly inFlight: number;
}

/** A function of other actors, as this one calls it. */
export interface AskedSample extends Omit<FunctionSample, "inFlight"> {
  /** The name of the actors. */
  readonly actor: string;
}

/** The messages of all streams and dialogs of a function, since the measuring began. */
export interface FlowSample {
  readonly name: string;
  readonly side: "callee" | "caller";
  readonly sent: number;
  readonly received: number;
  /** How long writers of this actor have waited for their readers, all together. */
  readonly stalledSeconds: number;
}

/** A stream or dialog that is open. */
export interface StreamSample {
  readonly name: string;
  readonly verb: "stream" | "open";
  /** Whether this actor serves it, or reads it. */
  readonly side: "callee" | "caller";
  /** The other side. */
  readonly peer: { readonly name: string; readonly uuid: string };
  /** Messages since it began. */
  readonly sent: number;
  readonly received: number;
  /** What the other side lets this one send now; null where this one doesn't send. */
  readonly credit: OutboxState["credit"] | null;
  /** Values that wait to be sent. */
  readonly queued: number;
  /** Messages that have arrived and haven't been read. */
  readonly unread: number;
  /**
   * What this actor waits for: credit of a reader that doesn't read, the kernel, which takes no more bytes of the
   * connection, or the next message.
   */
  readonly waitsFor: "credit" | "link" | "message" | null;
  /** For how long; since the measuring began at the most. */
  readonly waitedMs: number;
  /** Null if it began before the measuring. */
  readonly ageMs: number | null;
}

/** A connection. */
export interface PeerSample {
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  readonly transport: Transport;
  /** What the kernel hasn't taken yet. */
  readonly unsentBytes: number;
  /** What streams and dialogs haven't read. */
  readonly unreadBytes: number;
  /** Calls, streams and dialogs in flight, in both directions. */
  readonly callsInFlight: number;
}

/** A call that runs or waits for its turn. */
export interface OldestCall {
  readonly name: string;
  /** Null if it began before the measuring. */
  readonly ageMs: number | null;
}

/** One look at an actor. Lists are bounded: `…LeftOut` says how many didn't fit. */
export interface Sample {
  readonly id: ActorId;
  /** By the actor's clock, in milliseconds since 1970. For rates take `clockMs`. */
  readonly at: number;
  /** By a clock of the actor that nobody sets. */
  readonly clockMs: number;
  /** When the measuring began, on the clock of `clockMs`: counters begin at 0 there. */
  readonly sinceMs: number;
  readonly uptimeMs: number;
  readonly state: "ready" | "draining";
  readonly functions: readonly FunctionSample[];
  readonly asked: readonly AskedSample[];
  readonly flows: readonly FlowSample[];
  /** The streams and dialogs that wait longest come first. */
  readonly streams: readonly StreamSample[];
  readonly streamsLeftOut: number;
  readonly callsInFlight: number;
  /** Calls that wait for their turn, in an actor that limits its concurrency. */
  readonly callsWaiting: number;
  /** Of the calls that this actor serves, without streams and dialogs; null if there are none. */
  readonly oldestCall: OldestCall | null;
  readonly loop: {
    /** How late timers were at the most since the reader's sample before this one. */
    readonly lagMs: number;
  };
  readonly rssBytes: number;
  /** Processor time of the process, user and system. */
  readonly cpuSeconds: number;
  /** Of the connections that are open and those that have ended since the measuring began. */
  readonly bytes: { readonly sent: number; readonly received: number };
  readonly unsentBytes: number;
  readonly peerCount: number;
  readonly peers: readonly PeerSample[];
  readonly peersLeftOut: number;
  readonly lookups: LookupStats;
  readonly registrar: RegistrarStats | null;
}

/** One actor of a tree. */
export interface ActorReport {
  readonly id: ActorId;
  /** How often its parent has started it again. */
  readonly restarts: number;
  /** Null if it didn't answer in time, or has no process at the moment. */
  readonly sample: Sample | null;
}
