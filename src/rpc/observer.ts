/**
 * What follows an actor's requests while somebody looks. Types only: without an observer nothing here is loaded, and a
 * request costs one check.
 */
import type { ActorId } from "../identity.ts";
import type { Meta } from "../wire/meta.ts";
import type { Inbox, Outbox } from "./flow.ts";

export type Verb = "run" | "stream" | "open";

/** The ends of a stream or dialog that are on this side: a stream is only written at its callee, and only read at its caller. */
export interface ExchangeEnds {
  readonly outbox: Outbox | undefined;
  readonly inbox: Inbox | undefined;
}

/** A stream or dialog that is open. */
export interface OpenExchange extends ExchangeEnds {
  /** Which side of it this actor is. */
  readonly side: "callee" | "caller";
  readonly verb: "stream" | "open";
  readonly name: string;
  readonly peer: ActorId;
}

/** A request that is being served, or waits for its turn. A call has no outbox. */
export interface ServedRequest {
  readonly name: string;
  readonly outbox: Outbox | undefined;
}

export interface Observer {
  /**
   * This actor begins to serve a request of `peer`. Undefined if that isn't followed. `meta` is what came with the request,
   * unchecked: see `readMeta`.
   */
  serves(
    verb: Verb,
    name: string,
    peer: ActorId,
    ends: ExchangeEnds | undefined,
    meta: unknown,
  ): Following | undefined;
  /** This actor is about to send a request to `peer`. Undefined if that isn't followed. */
  asks(verb: Verb, name: string, peer: ActorId, ends?: ExchangeEnds): Following | undefined;
}

/** One request, from its beginning to its end. */
export interface Following {
  /** What travels with the request that is about to be sent. */
  readonly meta?: Meta | undefined;
  /** Runs what serves the request. */
  run<T>(work: () => T): T;
  /** Called once, with what the caller gets if it isn't a result. */
  end(failure?: Failure): void;
}

/** Why a request failed: in an object, because anything can be thrown. */
export interface Failure {
  readonly error: unknown;
}
