/** What a module's exports become behind `portal.run`, `portal.stream` and `portal.open`, as types. */
import type { CannotCross, WireArguments } from "./crossing.ts";
import type { Context, ContextTypes, Dialog, IsContext, Received, Sent, Started } from "./dialog-types.ts";
import type { Fault, FaultOfArguments } from "./fault.ts";

/** An exported function that streams: a generator. */
type AnyGenerator = AsyncGenerator<unknown, unknown, unknown> | Generator<unknown, unknown, unknown>;

/** Whether a function that returns `R` is a generator. One that never returns, or returns `any`, is not. */
type Streams<R> = [R] extends [never]
  ? false
  : 0 extends 1 & R
    ? false
    : [R] extends [AnyGenerator]
      ? true
      : false;

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

type NamesOf<M, Verb> = {
  [K in keyof M]: K extends "default"
    ? never
    : VerbOf<M[K]> extends Verb
      ? [VerbOf<M[K]>] extends [never]
        ? never
        : K
      : never;
}[keyof M];

/**
 * Each verb of a portal without a type argument: every name is a function that takes and gives anything.
 *
 * Nothing is checked, results included. Pass the module's type (`Portal<typeof import("./market.ts")>`) where it is known.
 */
export interface UntypedApi {
  // oxlint-disable-next-line typescript/no-explicit-any -- noUncheckedIndexedAccess adds undefined to any other type, which then can't be called
  readonly [name: string]: any;
}

// The mapped types below go over a type parameter `K extends keyof M`. So the compiler knows which declaration each
// property comes from: editors find definition, references and doc comment. An `as` clause would lose them.

/** `Api`, or why it can't be called: `Why` is never when it can. */
type Unless<Why, Api> = [Why] extends [never] ? Api : CannotCross<Why & string>;

/**
 * `portal.run`: each exported function of `M`, its arguments as written, its result as a promise. A function that needs
 * an argument or may return a result that can't cross is a `CannotCross`.
 *
 * Of an overloaded function the last signature counts. A generic function takes and gives what its type parameters are
 * constrained to, or `unknown`.
 */
export type RunApi<M> = unknown extends M ? UntypedApi : Runs<M, NamesOf<M, "run">>;

type Runs<M, K extends keyof M> = {
  readonly [P in K]: M[P] extends (...args: infer A) => infer R
    ? Unless<
        FaultOfArguments<A> | Fault<Awaited<R>, "result">,
        (...args: WireArguments<A>) => Promise<Awaited<R>>
      >
    : never;
};

/** `portal.stream`: each exported generator of `M`, as an async generator that is read here. As for `RunApi`. */
export type StreamApi<M> = unknown extends M ? UntypedApi : Streaming<M, NamesOf<M, "stream">>;

type Streaming<M, K extends keyof M> = {
  readonly [P in K]: M[P] extends (
    ...args: infer A
  ) => AsyncGenerator<infer T, infer R, infer _N> | Generator<infer T, infer R, infer _M>
    ? Unless<
        FaultOfArguments<A> | Fault<T, "yield"> | Fault<R, "result">,
        (...args: WireArguments<A>) => AsyncGenerator<T, R, undefined>
      >
    : never;
};

/** `portal.open`: each exported function of `M` that takes a context, without it. As for `RunApi`. */
export type OpenApi<M> = unknown extends M ? UntypedApi : Opens<M, NamesOf<M, "open">>;

type Opens<M, K extends keyof M> = {
  readonly [P in K]: M[P] extends (ctx: Context<infer C>, ...args: infer A) => infer R
    ? Unless<
        FaultOfArguments<A> | FaultOfMessages<C> | Fault<Awaited<R>, "result">,
        (...args: WireArguments<A>) => Promise<Dialog<Started<C>, Sent<C>, Received<C>, Awaited<R>>>
      >
    : never;
};

type FaultOfMessages<C extends ContextTypes> =
  | Fault<Started<C>, "started">
  | Fault<Sent<C>, "send">
  | Fault<Received<C>, "receive">;
