/** The actor as users see it. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";

/** Lookups by this actor: requests sent to registrars, answers from the cache (hits, misses too), pushed changes. */
export interface LookupStats {
  readonly requests: number;
  readonly hits: number;
  readonly pushes: number;
}

/** What a registrar has in its table, and has done: lookups answered over the wire, changes pushed. */
export interface RegistrarStats {
  readonly actors: number;
  readonly names: number;
  readonly requests: number;
  readonly pushes: number;
  readonly revision: number;
}

/** A frozen record of one moment. */
export interface ActorStats {
  readonly peers: number;
  readonly callsInFlight: number;
  readonly lookups: LookupStats;
  readonly registrar?: RegistrarStats;
}

/** A running actor: there is one to a process. */
export interface Actor extends AsyncDisposable {
  readonly id: ActorId;
  readonly name: string;
  readonly uuid: string;
  /** Where it listens: what others can dial. */
  readonly addrs: readonly Address[];
  /** Where its registrars are looked for. */
  readonly registryAddrs: readonly Address[];
  readonly isRoot: boolean;
  /** Whether it keeps the table. Can become true later: a root takes over when its registrar is gone. */
  readonly isRegistrar: boolean;
  /** Aborted when the actor begins to end. */
  readonly signal: AbortSignal;
  stats(): ActorStats;
  /**
   * Ends the actor: its children, its registration, its connections, its sockets. Idempotent; resolves when all of it
   * is done.
   */
  cancel(): Promise<void>;
}
