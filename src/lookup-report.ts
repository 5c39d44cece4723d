/** What a lookup did, as plain data: what `explainLookup` returns and every error of a lookup has as its `report`. */
import type { ActorId } from "./identity.ts";

/** The same as `Address`, which belongs to a higher layer. */
type ReportedAddress = `unix://${string}` | `tcp://${string}`;

/** One address of a candidate. */
export interface ReportedDial {
  readonly addr: ReportedAddress;
  /**
   * connected: the handshake showed the actor that was looked up, now or before. refused: nothing listens there, or it
   * said no, or it is another actor. silent: no answer within the time. skipped: not dialled.
   */
  readonly outcome: "connected" | "refused" | "silent" | "skipped";
  /** Why, except for a connection that was made. */
  readonly reason?: string;
  /** Milliseconds that the dial took, or has taken so far. */
  readonly ms: number;
}

/** One instance of the name. */
export interface ReportedCandidate {
  readonly id: ActorId;
  /**
   * Where it was known from. table: this actor's own, in a registrar. cache: an earlier answer, kept current by the
   * registrar. peer: a connected actor. registrar: an answer to this lookup. mirror: the copy of another host's table.
   */
  readonly source: "table" | "cache" | "peer" | "registrar" | "mirror";
  /** Its addresses: those that were dialled, in that order, then the others. */
  readonly dials: readonly ReportedDial[];
}

/** One registrar that had a say in the lookup, or should have had. */
export interface ReportedRegistrar {
  readonly addr: ReportedAddress;
  /**
   * answered: whether it knows the name or not. cached: not asked, since what it said before is kept current. refused:
   * nothing listens there, or it is not a registrar, or it reported an error. silent: no answer within the time.
   * skipped: another registrar answered first.
   */
  readonly outcome: "answered" | "cached" | "refused" | "silent" | "skipped";
  /** Why, where there was no answer. */
  readonly reason?: string;
  /** Milliseconds from the question to the answer, or until now. */
  readonly ms: number;
}

/** The record of one lookup. */
export interface LookupReport {
  /** The name that was looked up; "" where it was a registrar. */
  readonly name: string;
  readonly registrars: readonly ReportedRegistrar[];
  /** In the order in which the lookup tries them. */
  readonly candidates: readonly ReportedCandidate[];
  /** Milliseconds that the whole lookup took. */
  readonly ms: number;
}
