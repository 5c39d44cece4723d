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

/** What the messages of a dialog are: `send` is the callee's, `receive` the caller's. */
export interface ContextTypes {
  started?: unknown;
  send?: unknown;
  receive?: unknown;
}

declare const types: unique symbol;
type Started<C extends ContextTypes> = C extends { started: infer T } ? T : undefined;
type Sent<C extends ContextTypes> = C extends { send: infer T } ? T : never;
type Received<C extends ContextTypes> = C extends { receive: infer T } ? T : never;

/**
 * The callee's end of a dialog: the first parameter of a function that is called with `portal.open`. It ends with the
 * function; what the function returns is the caller's `result`.
 *
 * Iterating gives the caller's messages, until it calls `end`. When the caller cancels, or is gone, `signal` fires and
 * all that waits rejects with its reason.
 */
export interface Context<C extends ContextTypes = ContextTypes> extends AsyncIterable<
  Received<C>,
  undefined
> {
  /** The types, for the compiler alone. */
  readonly [types]?: C;
  readonly caller: ActorId;
  readonly signal: AbortSignal;
  /** Lets the caller's `open` resolve, with this value. Once, and before `send`. */
  started(...value: undefined extends Started<C> ? [value?: Started<C>] : [value: Started<C>]): Promise<void>;
  /**
   * Sends to the caller; waits while the caller has not read enough of what was sent before.
   *
   * @throws {EncodeError} when the value cannot cross
   */
  send(value: Sent<C>): Promise<void>;
  /** Sends if that needs no waiting; false when it was not sent. */
  trySend(value: Sent<C>): boolean;
  /** Sends no more: the caller's iteration ends. The function may go on and return later. */
  end(): Promise<void>;
  /** Cancels the dialog: `signal` fires here, the caller gets a `ContextCancelledError` that names this actor. */
  cancel(reason?: string): void;
}

/**
 * The caller's end of a dialog. `await using` it: leaving the block cancels the callee if it still runs, and waits for
 * it to have ended, with a bound.
 *
 * Iterating gives the callee's messages until it ends them or returns. A cancel by this side is absorbed at the end of
 * the block; every other failure that neither `result` nor the iteration has told is thrown there.
 */
export interface Dialog<S, T, R, V> extends AsyncIterable<T, undefined>, AsyncDisposable {
  /** What the callee gave to `ctx.started`. */
  readonly started: S;
  /** What the callee's function returns, or its failure as a call would give it. */
  readonly result: Promise<V>;
  /** Sends to the callee; waits while the callee has not read enough of what was sent before. */
  send(value: R): Promise<void>;
  /** Sends if that needs no waiting; false when it was not sent. */
  trySend(value: R): boolean;
  /** Sends no more: the callee's iteration ends. */
  end(): Promise<void>;
  /** Cancels the callee. `result` rejects with a `ContextCancelledError` that names this actor. */
  cancel(reason?: string): void;
}

/** What a function is called with: `run`, `stream` or `open`. */
type VerbOf<F> = F extends (...args: infer A) => infer R
  ? Streams<R> extends true
    ? "stream"
    : A extends readonly [infer C, ...unknown[]]
      ? IsContext<C> extends true
        ? "open"
        : "run"
      : "run"
  : never;

/** `any` and `never` would pass for a context too. */
type IsContext<C> = [C] extends [never]
  ? false
  : 0 extends 1 & C
    ? false
    : C extends { readonly [types]?: unknown; started: unknown; trySend: unknown }
      ? true
      : false;

type NamesOf<M, Verb> = {
  [K in keyof M]: K extends "default"
    ? never
    : VerbOf<M[K]> extends Verb
      ? [VerbOf<M[K]>] extends [never]
        ? never
        : K
      : never;
}[keyof M];

/** `portal.run`: each exported function of `M`, its arguments as written, its result as a promise. */
export type RunApi<M> = unknown extends M
  ? Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>
  : {
      readonly [K in NamesOf<M, "run">]: M[K] extends (...args: infer A) => infer R
        ? (...args: WireArgs<A>) => Promise<Awaited<R>>
        : never;
    };

/** `portal.stream`: each exported generator of `M`, as an async generator that is read here. */
export type StreamApi<M> = unknown extends M
  ? Readonly<Record<string, (...args: unknown[]) => AsyncGenerator<unknown, unknown, undefined>>>
  : {
      readonly [K in NamesOf<M, "stream">]: M[K] extends (
        ...args: infer A
      ) => AsyncGenerator<infer T, infer R, infer _N> | Generator<infer T, infer R, infer _M>
        ? (...args: WireArgs<A>) => AsyncGenerator<T, R, undefined>
        : never;
    };

/** `portal.open`: each exported function of `M` that takes a context, without it. */
export type OpenApi<M> = unknown extends M
  ? Readonly<Record<string, (...args: unknown[]) => Promise<Dialog<unknown, unknown, unknown, unknown>>>>
  : {
      readonly [K in NamesOf<M, "open">]: M[K] extends (ctx: Context<infer C>, ...args: infer A) => infer R
        ? (...args: WireArgs<A>) => Promise<Dialog<Started<C>, Sent<C>, Received<C>, Awaited<R>>>
        : never;
    };

/** Options of a portal's calls. */
export interface CallOptions {
  /** Aborting rejects the call with the signal's reason, and aborts its task at the callee. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds for each call, or for each step of a stream or dialog (the start, the next message, a send); after that
   * it rejects with a `TimeoutError` of stage "call", and is cancelled at the callee.
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
   * before it answers, `NotExposedError`, `EncodeError` and `LimitError` as such.
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
