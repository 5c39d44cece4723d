/** A service, as types. */
import type { Metadata } from "../actor/details.ts";
import type { Registration } from "../discovery/registration.ts";
import type { CallOptions, OpenApi, RunApi, StreamApi } from "../rpc/types.ts";
import type { AddressInput } from "../transport/address.ts";
import type { ServiceBy } from "./balance.ts";

export interface ServiceOptions {
  /**
   * How calls are spread over the instances. Default "round-robin": each gets the same number, and a choice costs nothing.
   *
   * - "random": any.
   * - "least-busy": the one with the fewest calls in flight, from this process and, as the instance reports with its
   *   answers, from all others. For calls that take very different times.
   * - A function that gives a key: the same key, the same instance, in every process. One more instance takes only its
   *   own share of the keys, one that goes leaves only its own, and one that its nursery starts again gets its own back.
   */
  readonly by?: ServiceBy;
  /** Only instances whose metadata has each of these keys, with an equal value. */
  readonly where?: Metadata;
  /** Only instances that expose functions of all these names. */
  readonly needs?: readonly string[];
  /** Follow the name at the registrar that serves this address, in place of this actor's own registrars. */
  readonly registryAddr?: AddressInput;
  /** Aborting closes the service: all its calls reject with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How long a call waits for an instance while there is none, in ms. Default 5,000. */
  readonly waitMs?: number;
}

/** Options of a service's calls. */
export interface ServiceCallOptions extends CallOptions {
  /**
   * Whether a call may run twice: one whose instance is lost while it may be running then goes on to another. Streams and
   * dialogs do so until they have given something.
   */
  readonly idempotent?: boolean;
}

/**
 * A name that one can rely on: each call goes to one live instance, and follows the name through restarts, replacements
 * and takeovers.
 *
 * A call that certainly didn't run goes to another instance by itself: the instance refused the connection, or the call
 * because it drains, or the connection ended before the call had reached it. Its arguments are sent again then, so they
 * must not change before it settles. A call that may have run rejects with a `TransportClosedError` that says so, unless it
 * is `idempotent`.
 */
export interface Service<M = unknown> extends AsyncDisposable {
  /**
   * Calls: `service.run.getQuote("btcusdt")`.
   *
   * They reject as a portal's do, and besides with `ActorNotFoundError` when there was no instance for `waitMs`; the
   * message and `cause` say what was there.
   */
  readonly run: RunApi<M>;
  /** Streams. One goes to another instance only before its first value. */
  readonly stream: StreamApi<M>;
  /** Dialogs. One goes to another instance only before it has started. */
  readonly open: OpenApi<M>;
  /** The same service with other options for each call, merged over those of this one. It is closed with this one. */
  with(options: ServiceCallOptions): Service<M>;
  /**
   * The live instances that fit, in the order of registration, without those that drain. A new list after each change.
   * Those that don't answer at the moment are among them.
   */
  readonly instances: readonly Registration[];
}
