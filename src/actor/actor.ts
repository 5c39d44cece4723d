/** The actor as users see it. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";

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
  /** The addresses that it listens on, as others can dial them. */
  readonly addrs: readonly Address[];
  /** The addresses where it looks for registrars. */
  readonly registryAddrs: readonly Address[];
  readonly isRoot: boolean;
  /** Whether it keeps the registry table. Can become true later: a root takes over when its registrar is gone. */
  readonly isRegistrar: boolean;
  /** What `startActor`'s option `data` gave it; undefined in a root. */
  readonly data: unknown;
  /** Aborted when the actor begins to end. */
  readonly signal: AbortSignal;
  stats(): ActorStats;
  /**
   * Ends the actor with its children, registration, connections and sockets. Idempotent; resolves when everything has
   * ended.
   */
  cancel(): Promise<void>;
}
