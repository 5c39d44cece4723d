/** What a module's exports look like through a portal. Types only. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";

type Primitive = string | number | bigint | boolean | null | undefined;

/**
 * `T` where every part of it can cross a wire; `never` in the places that cannot: functions, symbols, and with them
 * instances of most classes.
 */
export type Wire<T> = T extends Primitive | Date | Uint8Array | Error
  ? T
  : T extends symbol | ((...args: never[]) => unknown) | (abstract new (...args: never[]) => unknown)
    ? never
    : T extends ReadonlyMap<infer K, infer V>
      ? Map<Wire<K>, Wire<V>>
      : T extends ReadonlySet<infer V>
        ? Set<Wire<V>>
        : T extends object
          ? { [K in keyof T]: Wire<T[K]> }
          : T;

type WireArgs<A extends readonly unknown[]> = { [K in keyof A]: Wire<A[K]> };

/** An exported function that streams: a generator. */
type Generator_ = AsyncGenerator<unknown, unknown, unknown> | Generator<unknown, unknown, unknown>;

/** Whether a function that returns `R` is a generator; one that never returns is none. */
type Streams<R> = [R] extends [never] ? false : [R] extends [Generator_] ? true : false;

/** The names in `M` of functions that are run: not generators, no default export. */
type RunNames<M> = {
  [K in keyof M]: K extends "default"
    ? never
    : M[K] extends (...args: never[]) => infer R
      ? Streams<R> extends true
        ? never
        : K
      : never;
}[keyof M];

/** `portal.run`: each exported function of `M`, its arguments as written, its result as a promise. */
export type RunApi<M> = unknown extends M
  ? Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>
  : {
      readonly [K in RunNames<M>]: M[K] extends (...args: infer A) => infer R
        ? (...args: WireArgs<A>) => Promise<Awaited<R>>
        : never;
    };

/** Options of a portal's calls. */
export interface CallOptions {
  /** Aborting rejects the call with the signal's reason, and aborts its task at the callee. */
  readonly signal?: AbortSignal;
  /** Milliseconds for each call; after that it rejects with a `TimeoutError` of stage "call". */
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
   * before it answers, `NotExposedError`, `EncodeError` and `LimitError` as such.
   */
  readonly run: RunApi<M>;
  /** The same connection with other options for each call. */
  with(options: CallOptions): Portal<M>;
  /**
   * Ends that actor: it leaves the registry, aborts its tasks, ends its children, and acknowledges; a spawned one ends
   * with its process. True when it acknowledged, false when it was gone or did not in `timeout` (ms, default 5000).
   */
  cancelActor(options?: { readonly timeout?: number }): Promise<boolean>;
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
