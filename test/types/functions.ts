/** Compiles, or does not: what overloaded and generic functions become behind a portal. Nothing here is ever run. */
import type { Context, Dialog, Portal } from "../../src/index.ts";
import { holds, type Same } from "./same.ts";

interface Overloaded {
  parse(text: string): string;
  parse(text: string, radix: number): number;
  ticks(symbol: string): AsyncGenerator<string, void, undefined>;
  ticks(symbol: string, every: number): AsyncGenerator<number, void, undefined>;
  feed(ctx: Context, symbol: string): string;
  feed(ctx: Context, symbol: string, every: number): number;
}

/** Only the last signature of an overloaded function can be called. */
export function overloads({ run, stream, open }: Portal<Overloaded>): void {
  holds<Same<typeof run.parse, (text: string, radix: number) => Promise<number>>>();
  // @ts-expect-error -- an earlier signature
  void run.parse("1");
  holds<
    Same<typeof stream.ticks, (symbol: string, every: number) => AsyncGenerator<number, void, undefined>>
  >();
  // @ts-expect-error -- an earlier signature
  void stream.ticks("btc");
  holds<Same<Parameters<typeof open.feed>, [symbol: string, every: number]>>();
  // @ts-expect-error -- an earlier signature
  void open.feed("btc");
}

interface Generic {
  same<T>(value: T): T;
  byId<T extends { readonly id: string }>(items: readonly T[]): Map<string, T>;
  withDefault<T = string>(value: T): T;
  each<T extends number>(value: T): AsyncGenerator<T, void, undefined>;
  dialog<T extends string>(ctx: Context<{ send: string }>, value: T): Promise<T>;
  calls<T extends () => void>(value: T): void;
}

/** A type parameter becomes its constraint: callee and caller are in different programs, so none can be inferred. */
export function generics({ run, stream, open }: Portal<Generic>): void {
  holds<Same<typeof run.same, (value: unknown) => Promise<unknown>>>();
  holds<Same<Parameters<typeof run.byId>, [items: readonly { readonly id: string }[]]>>();
  holds<Same<Awaited<ReturnType<typeof run.byId>>, Map<string, { readonly id: string }>>>();
  holds<Same<typeof run.withDefault, (value: unknown) => Promise<unknown>>>();
  holds<Same<typeof stream.each, (value: number) => AsyncGenerator<number, void, undefined>>>();
  holds<Same<Awaited<ReturnType<typeof open.dialog>>, Dialog<undefined, string, never, string>>>();
  // @ts-expect-error -- its constraint can't cross
  run.calls(() => {});
  // @ts-expect-error -- a type argument has no place
  void run.same<string>("a");
}
