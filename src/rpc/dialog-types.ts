/** The two ends of a dialog, as types. */
import type { ActorId } from "../identity.ts";

/** What the messages of a dialog are: `send` is the callee's, `receive` the caller's. */
export interface ContextTypes {
  started?: unknown;
  send?: unknown;
  receive?: unknown;
}

declare const types: unique symbol;
export type Started<C extends ContextTypes> = C extends { started: infer T } ? T : undefined;
export type Sent<C extends ContextTypes> = C extends { send: infer T } ? T : never;
export type Received<C extends ContextTypes> = C extends { receive: infer T } ? T : never;

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
  /** Fires when this actor begins to drain: bring the dialog to an end soon. Until the drain's timeout it isn't cut short. */
  readonly draining: AbortSignal;
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

/** Whether `C` is a context. `any` and `never` would pass for one, too. */
export type IsContext<C> = [C] extends [never]
  ? false
  : 0 extends 1 & C
    ? false
    : C extends { readonly [types]?: unknown; started: unknown; trySend: unknown }
      ? true
      : false;
