/** Portals, as types. What they are made of lies beside: `module-api.ts`, `dialog-types.ts`, `crossing.ts`. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import type { OpenApi, RunApi, StreamApi } from "./module-api.ts";

export type { CannotCross } from "./crossing.ts";
export type { Context, ContextTypes, Dialog } from "./dialog-types.ts";
export type { OpenApi, RunApi, StreamApi, UntypedApi } from "./module-api.ts";

/** Options of a portal's calls. */
export interface CallOptions {
  /** Aborting rejects the call with the signal's reason, and aborts its task at the callee. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds for each call, or for each step of a stream or dialog (the start, the next message, a send); after that
   * it rejects with a `TimeoutError` of stage "call", and is cancelled at the callee. Infinity is no timeout, also for
   * calls that `callTimeoutMs` bounds otherwise; 0 has passed at once.
   */
  readonly timeout?: number;
}

/** Why a portal is closed. peer-died: the connection ended without a goodbye. */
export interface PortalClosed {
  readonly reason: "closed" | "peer-closed" | "peer-died" | "error";
  readonly error?: Error;
}

/**
 * A connected, typed way to one actor; the type parameter is usually `typeof import("./module.ts")`.
 *
 * It lives until it is disposed, or its peer is gone. Disposing it does not end the peer, nor other portals to it.
 */
export interface Portal<M = unknown> extends AsyncDisposable {
  readonly id: ActorId;
  /** The address that the connection uses. */
  readonly addr: Address;
  /**
   * Calls: `portal.run.getQuote("btcusdt")`.
   *
   * A call rejects with `RemoteActorError` when the function throws, `TransportClosedError` when the peer is gone
   * before it answers, `ActorDrainingError` when the peer is about to stop and didn't run it, `NotExposedError`,
   * `EncodeError` and `LimitError` as such.
   */
  readonly run: RunApi<M>;
  /**
   * Streams: `for await (const tick of portal.stream.ticks("btc"))`. Leaving the loop ends the generator there, its
   * `finally` included, before the loop is left; an error that it throws arrives after the values before it.
   */
  readonly stream: StreamApi<M>;
  /**
   * Dialogs: `await using dialog = await portal.open.feed("btc")`. Resolves when the callee has called `ctx.started`;
   * rejects with what it throws or cancels with before that.
   */
  readonly open: OpenApi<M>;
  /** The same connection with other options for each call, merged over those of this portal. */
  with(options: CallOptions): Portal<M>;
  /**
   * Ends that actor: it leaves the registry, aborts its tasks, ends its children, and acknowledges; a spawned one ends
   * with its process. True when it acknowledged, false when it was gone or did not in `timeout` (ms, default 5000).
   *
   * @throws {PermissionDeniedError} when its policy doesn't let this actor stop it
   */
  cancelActor(options?: { readonly timeout?: number }): Promise<boolean>;
  /**
   * Lets that actor finish what it runs, and ends it. It leaves every lookup at once and refuses new calls with an
   * `ActorDrainingError`; what runs may finish within `timeout` (ms, default 30,000), then is cancelled. A second drain
   * joins the first, and `cancelActor` cuts it short. True when the actor has ended in order; false when it was gone, or
   * hasn't said so 5 seconds after `timeout`.
   *
   * @throws {PermissionDeniedError} when its policy doesn't let this actor stop it
   */
  drainActor(options?: { readonly timeout?: number }): Promise<boolean>;
  /** Resolves when this portal can no longer be used, and says why. */
  readonly closed: Promise<PortalClosed>;
}

/** Several portals that end together: `await using` it. */
export interface PortalGroup<M = unknown> extends ReadonlyArray<Portal<M>>, AsyncDisposable {}

/** A connected actor: who it is, and where it listens. */
export interface PeerInfo {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
}
