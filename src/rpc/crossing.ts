/** What can cross a wire, as types: the rules that `wire/values.ts` applies to values. */
import type { SharedBuffer } from "../wire/shared-buffer.ts";

declare const reason: unique symbol;

/**
 * Marks, as a type, what can't cross a wire. `Why` says where and what it is.
 *
 * A function of a module becomes this when another actor can't call it, because it needs an argument or may return a
 * result that can't cross. A call is then a compile-time error at the function's name, and the message holds `Why`.
 */
export interface CannotCross<Why extends string> {
  /** Never set: no value has this type. */
  readonly [reason]: Why;
}

/** Values that cross whatever their members are. */
type Crossing =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Date
  | Uint8Array
  | SharedBuffer
  | Error;
export type AnyFunction = (...args: never[]) => unknown;
export type AnyClass = abstract new (...args: never[]) => unknown;

/** `T` with a `CannotCross` in place of each part that can't cross. */
export type Wire<T> = T extends Crossing
  ? T
  : T extends symbol
    ? CannotCross<"a symbol">
    : T extends AnyFunction
      ? CannotCross<"a function">
      : T extends AnyClass
        ? CannotCross<"a class">
        : T extends object
          ? WireObject<T>
          : T;

type WireObject<T extends object> =
  T extends ReadonlyMap<infer K, infer V>
    ? T extends Map<K, V>
      ? Map<Wire<K>, Wire<V>>
      : ReadonlyMap<Wire<K>, Wire<V>>
    : T extends ReadonlySet<infer V>
      ? T extends Set<V>
        ? Set<Wire<V>>
        : ReadonlySet<Wire<V>>
      : T extends readonly (infer V)[]
        ? WireList<T, V>
        : { [K in keyof T]: Wire<T[K]> };

/** The compiler defers an array that is written as one; a mapped one it would expand at once, endlessly for JSON. */
type WireList<T extends readonly unknown[], V> = V[] extends T
  ? readonly V[] extends T
    ? readonly Wire<V>[]
    : Wire<V>[]
  : { [K in keyof T]: Wire<T[K]> };

/** A list of arguments: each as written if it can cross, otherwise with a `CannotCross` in place of what can't. */
export type WireArguments<A extends readonly unknown[]> = { [K in keyof A]: WireArgument<A[K]> };

type WireArgument<T> = Crosses<T> extends true ? T : Wire<T>;

/** How deep `Crosses` looks. Deeper in, the sender finds what can't cross when it encodes it. */
type Levels = [1, 1, 1, 1, 1, 1];

/**
 * Whether every value of type `T` can cross, as far as `Levels` reach.
 *
 * It takes all parts of one level together: a union holds each type once, so recursive types don't multiply, and what
 * is found of each type is known from then on. To compare `T` with `Wire<T>` would say the same, but large recursive
 * types exceed the depth of a comparison.
 */
export type Crosses<T> = Walk<Part<T>, Levels>;

type Walk<Found, Left extends unknown[]> = [Found] extends [never]
  ? true
  : [Extract<Found, symbol | AnyFunction | AnyClass>] extends [never]
    ? Left extends [unknown, ...infer Rest]
      ? Walk<PartsOf<Found>, Rest>
      : true
    : false;

/** The members of a union that have to be looked at. `any` and `unknown` would swallow their neighbours. */
type Part<T> = unknown extends T ? never : Exclude<T, Crossing>;

/** What an object holds; a symbol for one that can't cross itself. */
type PartsOf<T> =
  T extends ReadonlyMap<infer K, infer V>
    ? Part<K> | Part<V>
    : T extends ReadonlySet<infer V>
      ? Part<V>
      : T extends readonly (infer V)[]
        ? Part<V>
        : HasPrivate<T> extends true
          ? symbol
          : { [K in keyof T]-?: Part<T[K]> }[keyof T];

/** Whether `T` has members that a mapped type leaves out: those that are private to a class. */
export type HasPrivate<T> = { [K in keyof T]: T[K] } extends T ? false : true;
