/** For tests of types: two types are the same, and a claim holds or does not compile. */

/** True only for the same type on both sides. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Fails to compile unless its type argument is `true`. */
export function holds<_T extends true>(): void {}

/** True only for `any`, which `Same` can't be asked about without writing it. */
export type IsAny<T> = 0 extends 1 & T ? true : false;
