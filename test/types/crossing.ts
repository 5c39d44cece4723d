/**
 * Compiles, or does not: which functions can't be called, since an argument or a result can't cross, and what the
 * compiler says of them. Nothing here is ever run.
 */
import type { ActorCluster, CannotCross, Context, Portal, SharedBuffer } from "../../src/index.ts";
import { holds, type IsAny, type Same } from "./same.ts";

class Account {
  balance = 0;
  deposit(amount: number): void {
    this.balance += amount;
  }
  withdraw(amount: number): void {
    this.balance -= amount;
  }
}

class Point {
  readonly #x: number = 0;
  y: number = this.#x;
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

interface Tree {
  readonly label: string;
  readonly children: readonly Tree[];
  readonly byName: Map<string, Tree>;
  parent?: Tree;
}

/** Without an end. */
interface Expanding<T> {
  readonly value: T;
  readonly next?: Expanding<readonly [T, T]>;
}

/** Deeper than the compiler looks. */
interface Deep {
  a: { b: { c: { d: { e: { f: { g: () => void } } } } } };
}

interface Linked {
  next?: Linked;
  items: { value: { done: () => void } }[];
}

/** Stands for a module with functions that can be called. */
interface Sound {
  json(value: Json): Json;
  tree(value: Tree): Promise<Tree>;
  bytes(value: Uint8Array): Buffer;
  shared(value: SharedBuffer): { readonly frames: readonly SharedBuffer[] };
  collections(value: ReadonlyMap<string, Set<Date>>): ReadonlySet<bigint>;
  error(value: Error): RangeError & { retry(): void };
  unknown(value: unknown): unknown;
  anything(): any; // oxlint-disable-line typescript/no-explicit-any -- what is tested
  object(value: object): object;
  nothing(): undefined;
  tuple(value: [string, number?]): readonly [string, ...number[]];
  optional(name: string, done?: () => void): void;
  either(value: string | (() => void)): void;
  nested(options: { readonly url: string; readonly on?: { tick(): void } }): void;
  progress(options: { readonly url: string; readonly done?: () => void }): void;
  point(value: Point): void;
  expanding(value: Expanding<string>): Expanding<number>;
  deep(): Deep;
  loose(): { readonly options: unknown; readonly more: any }; // oxlint-disable-line typescript/no-explicit-any -- the same
}

declare const sound: Portal<Sound>;

export function soundFunctions(): void {
  holds<Same<typeof sound.run.json, (value: Json) => Promise<Json>>>();
  holds<Same<typeof sound.run.tree, (value: Tree) => Promise<Tree>>>();
  holds<Same<typeof sound.run.bytes, (value: Uint8Array) => Promise<Buffer>>>();
  holds<
    Same<
      typeof sound.run.shared,
      (value: SharedBuffer) => Promise<{ readonly frames: readonly SharedBuffer[] }>
    >
  >();
  holds<Same<ReturnType<typeof sound.run.collections>, Promise<ReadonlySet<bigint>>>>();
  void sound.run.collections(new Map([["a", new Set([new Date()])]]));
  holds<Same<ReturnType<typeof sound.run.error>, Promise<RangeError & { retry(): void }>>>();
  holds<Same<typeof sound.run.unknown, (value: unknown) => Promise<unknown>>>();
  holds<IsAny<Awaited<ReturnType<typeof sound.run.anything>>>>();
  holds<Same<typeof sound.run.expanding, (value: Expanding<string>) => Promise<Expanding<number>>>>();
  holds<Same<typeof sound.run.deep, () => Promise<Deep>>>();
  holds<Same<Awaited<ReturnType<typeof sound.run.loose>>["options"], unknown>>();
  holds<Same<typeof sound.run.object, (value: object) => Promise<object>>>();
  holds<Same<ReturnType<typeof sound.run.nothing>, Promise<undefined>>>();
  holds<
    Same<typeof sound.run.tuple, (value: [string, number?]) => Promise<readonly [string, ...number[]]>>
  >();
}

/** What an argument may leave out is left out, and the function can be called. */
export function partsThatCallersLeaveOut(): void {
  void sound.run.optional("a");
  // @ts-expect-error -- a function
  void sound.run.optional("a", () => {});
  holds<
    Same<Parameters<typeof sound.run.optional>, [name: string, done?: CannotCross<"a function"> | undefined]>
  >();
  void sound.run.either("a");
  // @ts-expect-error -- a function
  void sound.run.either(() => {});
  holds<Same<Parameters<typeof sound.run.either>, [value: string | CannotCross<"a function">]>>();
  void sound.run.nested({ url: "http://x/" });
  // @ts-expect-error -- a function further down
  void sound.run.nested({ url: "http://x/", on: { tick() {} } });
  void sound.run.progress({ url: "http://x/" });
  // @ts-expect-error -- a function in an option
  void sound.run.progress({ url: "http://x/", done() {} });
  // an instance couldn't cross; an object with the same public members can
  void sound.run.point({ y: 1 });
}

/** Stands for a module whose functions can't be called. */
interface Faulty {
  takesFunction(callback: () => void): void;
  takesSymbol(name: string, key: symbol): void;
  takesClass(cls: typeof Account): void;
  takesAccount(account: Account): void;
  takesNested(options: { readonly on: { tick(): void } }): void;
  takesList(listeners: (() => void)[]): void;
  takesRest(...listeners: (() => void)[]): void;
  givesFunction(): () => void;
  givesLater(): Promise<() => void>;
  givesEither(): string | (() => void);
  givesOptional(): { readonly name: string; readonly close?: () => void };
  givesSymbol(): symbol;
  givesClass(): typeof Account;
  givesAccount(): Account;
  givesAccounts(): Promise<Account[]>;
  givesPoint(): Point;
  givesMap(): Map<string, () => void>;
  givesKeys(): Map<symbol, string>;
  givesSet(): ReadonlySet<symbol>;
  givesRecord(): Record<string, () => void>;
  givesPromise(): { readonly later: Promise<number> };
  givesFloats(): Float32Array;
  givesBuffer(): ArrayBuffer;
  givesGenerator(): Promise<AsyncGenerator<number>>;
  givesLinked(): Linked;
  givesAny(): { readonly any: any; readonly close: () => void }; // oxlint-disable-line typescript/no-explicit-any -- the same
  givesLoose(): { readonly options: unknown; readonly close: () => void };
  both(callback: () => void): symbol;
  takesLinked(value: Linked): void;
  yields(): AsyncGenerator<() => void>;
  ends(): Generator<number, symbol>;
  streams(callback: () => void): AsyncGenerator<number>;
  starts(ctx: Context<{ started: () => void }>): void;
  sends(ctx: Context<{ send: { tick(): void } }>): void;
  receives(ctx: Context<{ receive: symbol }>): void;
  opens(ctx: Context, callback: () => void): void;
  results(ctx: Context): Promise<Account>;
}

declare const faulty: Portal<Faulty>;

export function argumentsThatCannotCross(): void {
  const { run } = faulty;
  holds<Same<typeof run.takesFunction, CannotCross<"arguments[0] is a function">>>();
  holds<Same<typeof run.takesSymbol, CannotCross<"arguments[1] is a symbol">>>();
  holds<Same<typeof run.takesClass, CannotCross<"arguments[0] is a class">>>();
  holds<Same<typeof run.takesAccount, CannotCross<"arguments[0] is an object with methods">>>();
  holds<Same<typeof run.takesNested, CannotCross<"arguments[0].on.tick is a function">>>();
  holds<Same<typeof run.takesList, CannotCross<"arguments[0][] is a function">>>();
  holds<Same<typeof run.takesRest, CannotCross<"arguments[] is a function">>>();
  holds<Same<typeof run.takesLinked, CannotCross<"arguments[0].items[].value.done is a function">>>();
}

export function resultsThatCannotCross(): void {
  const { run } = faulty;
  holds<Same<typeof run.givesFunction, CannotCross<"result is a function">>>();
  holds<Same<typeof run.givesLater, CannotCross<"result is a function">>>();
  holds<Same<typeof run.givesEither, CannotCross<"result is a function">>>();
  holds<Same<typeof run.givesOptional, CannotCross<"result.close is a function">>>();
  holds<Same<typeof run.givesSymbol, CannotCross<"result is a symbol">>>();
  holds<Same<typeof run.givesClass, CannotCross<"result is a class">>>();
  holds<Same<typeof run.givesAccount, CannotCross<"result is an object with methods">>>();
  holds<Same<typeof run.givesAccounts, CannotCross<"result[] is an object with methods">>>();
  holds<Same<typeof run.givesPoint, CannotCross<"result is an instance of a class">>>();
  holds<Same<typeof run.givesMap, CannotCross<"result.<value> is a function">>>();
  holds<Same<typeof run.givesKeys, CannotCross<"result.<key> is a symbol">>>();
  holds<Same<typeof run.givesSet, CannotCross<"result.<item> is a symbol">>>();
  holds<Same<typeof run.givesRecord, CannotCross<"result[string] is a function">>>();
  holds<Same<typeof run.givesPromise, CannotCross<"result.later is a promise">>>();
  holds<Same<typeof run.givesFloats, CannotCross<"result is binary, but not a Uint8Array">>>();
  holds<Same<typeof run.givesBuffer, CannotCross<"result is binary, but not a Uint8Array">>>();
  holds<Same<typeof run.givesGenerator, CannotCross<"result is an object with methods">>>();
  holds<Same<typeof run.givesLinked, CannotCross<"result.items[].value.done is a function">>>();
  holds<Same<typeof run.givesAny, CannotCross<"result.close is a function">>>();
  holds<Same<typeof run.givesLoose, CannotCross<"result.close is a function">>>();
  holds<Same<typeof run.both, CannotCross<"arguments[0] is a function" | "result is a symbol">>>();
}

export function otherVerbs(): void {
  const { stream, open } = faulty;
  holds<Same<typeof stream.yields, CannotCross<"yield is a function">>>();
  holds<Same<typeof stream.ends, CannotCross<"result is a symbol">>>();
  holds<Same<typeof stream.streams, CannotCross<"arguments[0] is a function">>>();
  holds<Same<typeof open.starts, CannotCross<"started is a function">>>();
  holds<Same<typeof open.sends, CannotCross<"send.tick is a function">>>();
  holds<Same<typeof open.receives, CannotCross<"receive is a symbol">>>();
  holds<Same<typeof open.opens, CannotCross<"arguments[0] is a function">>>();
  holds<Same<typeof open.results, CannotCross<"result is an object with methods">>>();
}

export async function calls(cluster: ActorCluster<Faulty>): Promise<void> {
  // @ts-expect-error -- its result can't cross
  await faulty.run.givesFunction();
  // @ts-expect-error -- its argument can't
  await faulty.run.takesFunction(() => {});
  // @ts-expect-error -- what it yields can't
  for await (const _ of faulty.stream.yields());
  // @ts-expect-error -- what it sends can't
  await faulty.open.sends();
  // @ts-expect-error -- there is no item that it could be called with
  await cluster.map("takesFunction", [() => {}]);
}
