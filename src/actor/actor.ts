/** The actor as users see it. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import type { Metadata } from "./details.ts";

/** Lookups by this actor: requests to registrars, answers from the cache (cached misses included), pushed changes. */
export interface LookupStats {
  readonly requests: number;
  readonly hits: number;
  readonly pushes: number;
}

/** The contents of a registrar's table and its work so far: lookups answered over the wire, and changes pushed. */
export interface RegistrarStats {
  readonly actors: number;
  readonly names: number;
  readonly requests: number;
  readonly pushes: number;
  readonly revision: number;
  /** In a cluster: how many of the actors are those of other hosts. */
  readonly mirrored?: number;
  /** In a cluster: how many other hosts there are. */
  readonly hosts?: number;
  /** In a cluster: whether what is known of other hosts may be behind, because the store can't be reached. */
  readonly stale?: boolean;
}

/** A frozen snapshot. */
export interface ActorStats {
  readonly peers: number;
  readonly callsInFlight: number;
  readonly lookups: LookupStats;
  readonly registrar?: RegistrarStats;
}

/** A running actor. Each process has at most one. */
export interface Actor extends AsyncDisposable {
  readonly id: ActorId;
  readonly name: string;
  readonly uuid: string;
  /** The addresses at which others can dial it: those that it listens on, or what it advertises in their place. */
  readonly addrs: readonly Address[];
  /** The addresses where it looks for registrars. */
  readonly registryAddrs: readonly Address[];
  readonly isRoot: boolean;
  /** Whether it keeps the registry table. Can become true later: a root takes over when its registrar is gone. */
  readonly isRegistrar: boolean;
  /** What `startActor`'s option `data` gave it; undefined in a root. */
  readonly data: unknown;
  /**
   * Of an actor that `findOrStart` or `unique` started in a cluster: the number of the claim on its name, higher than that of
   * any claim of the name before. A storage that refuses writes with a lower number than it has seen is safe from a
   * predecessor that still runs. It can grow, when the claim had to be made again. Else null.
   */
  readonly fence: number | null;
  /** Aborted when the actor begins to end. */
  readonly signal: AbortSignal;
  stats(): ActorStats;
  /**
   * Registers a clean-up, which the end of the actor awaits: at that point nothing runs for peers any more, the children
   * have ended, and no lookup finds the actor; calls to other actors still work. Clean-ups run one after the other, the
   * last one first. If one fails, or takes longer than `timeout` (ms; default `stopGraceMs` plus `stopTermMs`, 3,000), that
   * is logged and the next one runs; its `signal` fires when its time is up.
   *
   * They run however the actor ends in order: by `cancel` or `drain`, here or from elsewhere, by a signal that the runtime
   * handles, or with its parent. They don't run after `process.exit`, an uncaught error or SIGKILL.
   *
   * @returns a function that takes the clean-up back
   * @throws {RangeError} when `timeout` isn't a finite, non-negative number of milliseconds
   * @throws {NoRuntimeError} when the clean-ups have already run
   */
  onEnd(fn: (signal: AbortSignal) => unknown, options?: { readonly timeout?: number }): () => void;
  /**
   * Finishes what runs, then ends the actor as `cancel` does. The actor leaves every lookup at once; new calls, streams and
   * dialogs of peers are refused with an `ActorDrainingError`, and `currentTask().draining` and `ctx.draining` fire. What
   * runs, or has been accepted and waits for its turn, may finish within `timeout` (ms, default 30,000), then is cancelled.
   * When nothing runs here any more, the children drain in what is left of that time; they still serve each other.
   *
   * Resolves when the actor has ended. A second drain joins the first; `cancel` cuts it short.
   */
  drain(options?: { readonly timeout?: number }): Promise<void>;
  /**
   * Replaces what lookups and listings show as this actor's metadata. Resolves when every registrar that this actor is
   * registered with has applied it and pushed it to those that watch. A registrar that comes up later gets it with the
   * registration; if those that were told are lost before they have acknowledged it, the change waits for that. Changes
   * are applied in the order of the calls. While an actor starts, and isn't registered yet, it resolves at once.
   *
   * @throws {TypeError} when it isn't a plain object of strings, finite numbers and booleans; nothing has changed
   * @throws {LimitError} when it takes more than `maxMetadataBytes` encoded, here or at a registrar; the former metadata
   *   stays
   * @throws {TimeoutError} with stage "lookup" when a registrar is silent; it may still apply the change
   * @throws {RegistryUnavailableError} when no registrar has acknowledged it within three times `probeTimeoutMs`; the change
   *   applies with the next registration
   */
  setMetadata(metadata: Metadata): Promise<void>;
  /**
   * Ends the actor with its children, registration, connections and sockets. Idempotent; resolves when everything has
   * ended.
   */
  cancel(): Promise<void>;
}
