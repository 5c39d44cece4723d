/**
 * Where a type holds something that can't cross a wire, in words: what an editor shows for a function that can't be
 * called. Only types that fail `Crosses` are searched.
 */
import type { AnyClass, AnyFunction, Crosses, HasPrivate } from "./crossing.ts";

/** Why some value of type `T` can't cross, as a sentence that begins with `Path`; never when all can. */
export type Fault<T, Path extends string> = Crosses<T> extends true ? never : Search<T, Path, "any">;

/** Why no list of arguments of type `A` can cross; never when some can. */
export type FaultOfArguments<A extends readonly unknown[]> = Extract<
  {
    [K in keyof A]: Crosses<A[K]> extends true
      ? never
      : Search<A[K], `arguments[${K extends string ? K : ""}]`, "all">;
  }[number],
  string
>;

/**
 * What makes a union a fault. "any": one member that can't cross, as in a result, which may be that member. "all": only
 * all of them, as in an argument, where the caller has the choice. In "all", optional properties may be left out.
 */
type Mode = "any" | "all";

/** The levels to search, one after the other, so that the fault with the shortest path is the one that is shown. */
type Levels = [[1], [1, 1], [1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]];

/** Searches one level after the other. In mode "any" there is a fault, so that it says something in any case. */
type Search<T, Path extends string, M extends Mode, L extends unknown[] = Levels> = L extends [
  infer Level extends 1[],
  ...infer Deeper,
]
  ? [InUnion<T, Path, M, Level>] extends [never]
    ? Search<T, Path, M, Deeper>
    : InUnion<T, Path, M, Level>
  : M extends "any"
    ? `${Path} holds something that can't cross`
    : never;

/** The fault of a union on this level; never for none. */
type InUnion<T, Path extends string, M extends Mode, Level extends unknown[]> =
  InMembers<T, Path, M, Level> extends infer Found
    ? M extends "all"
      ? "" extends Found
        ? never
        : Found
      : Exclude<Found, "">
    : never;

/** The fault of each member of a union, and "" for each that has none. */
type InMembers<T, Path extends string, M extends Mode, Level extends unknown[]> = T extends unknown
  ? OrNone<
      Crosses<T> extends true ? never : Level extends [1, ...infer Rest] ? InOne<T, Path, M, Rest> : never
    >
  : never;

type OrNone<Found> = [Found] extends [never] ? "" : Found;

type InOne<T, Path extends string, M extends Mode, Level extends unknown[]> = T extends symbol
  ? `${Path} is a symbol`
  : T extends AnyFunction
    ? `${Path} is a function`
    : T extends AnyClass
      ? `${Path} is a class`
      : T extends PromiseLike<unknown>
        ? `${Path} is a promise`
        : T extends ArrayBufferView | ArrayBufferLike
          ? `${Path} is binary, but not a Uint8Array`
          : T extends ReadonlyMap<infer K, infer V>
            ? InUnion<K, `${Path}.<key>`, M, Level> | InUnion<V, `${Path}.<value>`, M, Level>
            : T extends ReadonlySet<infer V>
              ? InUnion<V, `${Path}.<item>`, M, Level>
              : T extends readonly (infer V)[]
                ? InUnion<V, `${Path}[]`, M, Level>
                : InObject<T, Path, M, Level, MethodsOf<T, M>>;

type InObject<T, Path extends string, M extends Mode, Level extends unknown[], Methods extends keyof T> = [
  Methods,
] extends [never]
  ? [M, HasPrivate<T>] extends ["any", true]
    ? `${Path} is an instance of a class`
    : { [K in keyof T]-?: InUnion<T[K], `${Path}${Step<K>}`, M, Level> }[keyof T]
  : IsOne<Methods> extends true
    ? `${Path}${Step<Methods>} is a function`
    : `${Path} is an object with methods`;

/** The names of the members that are functions, in mode "all" without the optional ones. */
type MethodsOf<T, M extends Mode> = {
  [K in keyof T]-?: IsFunction<M extends "all" ? T[K] : Exclude<T[K], undefined>> extends true ? K : never;
}[keyof T];

/** Whether `F` is nothing but a function. `any` and `never` would pass for one, too. */
type IsFunction<F> = [F] extends [never]
  ? false
  : unknown extends F
    ? false
    : [F] extends [AnyFunction]
      ? true
      : false;

/** One step of a path, as in `EncodeError`. */
type Step<K> = K extends string
  ? string extends K
    ? "[string]"
    : `.${K}`
  : K extends number
    ? number extends K
      ? "[number]"
      : `[${K}]`
    : "[symbol]";

type IsOne<K> = [K] extends [AllOf<K>] ? true : false;

/** The intersection of a union's members: of several names, never. */
type AllOf<U> = (U extends unknown ? (member: U) => void : never) extends (all: infer I) => void ? I : never;
