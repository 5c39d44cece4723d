/** Compiles, or does not: what a portal lets its user call. Nothing here is ever run. */
import type { LocalPortal, Portal, PortalGroup, RegistrarApi } from "../../src/index.ts";
import { holds, type Same } from "./same.ts";

interface Exports {
  add(a: number, b: number): number;
  later(text: string): Promise<string>;
  many(...names: string[]): number;
  maybe(name: string, options?: { readonly limit: number }): string | undefined;
  generic<T>(value: T): T;
  collections(map: Map<string, Date>, set: Set<bigint>, bytes: Uint8Array): Map<string, Set<number>>;
  fails(error: Error): never;
  takesCallback(callback: () => void): void;
  takesNested(options: { on: { tick(): void } }): void;
  takesSymbol(value: symbol): void;
  takesUnknown(value: unknown): unknown;
  nothing(): void;
  ticks(symbol: string): AsyncGenerator<number, string, undefined>;
  plainTicks(): Generator<string>;
  default(): string;
  constant: number;
  Klass: new () => object;
}

declare const portal: Portal<Exports>;

export function run(): void {
  holds<Same<ReturnType<typeof portal.run.add>, Promise<number>>>();
  // a promise is not wrapped in a second one
  holds<Same<ReturnType<typeof portal.run.later>, Promise<string>>>();
  holds<Same<ReturnType<typeof portal.run.maybe>, Promise<string | undefined>>>();
  holds<Same<ReturnType<typeof portal.run.collections>, Promise<Map<string, Set<number>>>>>();
  holds<Same<ReturnType<typeof portal.run.fails>, Promise<never>>>();
  holds<Same<ReturnType<typeof portal.run.nothing>, Promise<void>>>();
  holds<Same<Parameters<typeof portal.run.add>, [a: number, b: number]>>();
  void portal.run.many("a", "b", "c");
  void portal.run.maybe("a");
  void portal.run.maybe("a", { limit: 1 });
  void portal.run.collections(new Map(), new Set([1n]), new Uint8Array());
  void portal.run.takesUnknown({ any: "thing" });

  // @ts-expect-error -- an argument is missing
  void portal.run.add(1);
  // @ts-expect-error -- one too many
  void portal.run.add(1, 2, 3);
  // @ts-expect-error -- of another type
  void portal.run.add("1", 2);
  // @ts-expect-error -- no such function
  void portal.run.missing();
  // @ts-expect-error -- a function cannot cross
  void portal.run.takesCallback(() => {});
  // @ts-expect-error -- nor one inside an object
  void portal.run.takesNested({ on: { tick() {} } });
  // @ts-expect-error -- nor a symbol
  void portal.run.takesSymbol(Symbol("s"));
  // @ts-expect-error -- the default export is not exposed
  void portal.run.default();
  // @ts-expect-error -- a value is no function
  void portal.run.constant;
  // @ts-expect-error -- a class is not exposed
  void portal.run.Klass;
  // @ts-expect-error -- a generator is streamed, not run
  void portal.run.ticks("btc");
  // @ts-expect-error -- and so is a synchronous one
  void portal.run.plainTicks();
  // @ts-expect-error -- the functions of a portal cannot be replaced
  portal.run.add = async () => 1;
}

export async function stream(): Promise<void> {
  holds<Same<ReturnType<typeof portal.stream.ticks>, AsyncGenerator<number, string, undefined>>>();
  for await (const tick of portal.stream.ticks("btc")) holds<Same<typeof tick, number>>();
  for await (const text of portal.stream.plainTicks()) holds<Same<typeof text, string>>();
  // @ts-expect-error -- a plain function is run, not streamed
  void portal.stream.add(1, 2);
  // @ts-expect-error -- of another type
  void portal.stream.ticks(1);
  // @ts-expect-error -- not iterable without await
  for (const tick of portal.stream.ticks("btc")) void tick;
}

export async function options(): Promise<void> {
  const bounded = portal.with({ timeout: 100, signal: AbortSignal.timeout(5) });
  holds<Same<typeof bounded, Portal<Exports>>>();
  // @ts-expect-error -- an unknown option
  void portal.with({ timeoutMs: 100 });
  holds<Same<Awaited<ReturnType<typeof portal.cancelActor>>, boolean>>();
  holds<Same<Awaited<ReturnType<typeof portal.drainActor>>, boolean>>();
  await portal.drainActor({ timeout: 100 });
  await using group = [] as unknown as PortalGroup<Exports>;
  for (const one of group) void one.run.add(1, 2);
  // @ts-expect-error -- a group is read
  group.push(portal);
}

/** Every portal will do where no type is asked for, and not the other way round. */
export function assignable(own: LocalPortal<Exports>, group: PortalGroup<Exports>): Portal[] {
  const untyped: Portal = portal;
  const untypedGroup: PortalGroup = group;
  const fewer: Portal<Pick<Exports, "add">> = portal;
  // @ts-expect-error -- nothing says that it has these functions
  const typed: Portal<Exports> = untyped;
  // @ts-expect-error -- it has no such function
  const other: Portal<{ subtract(a: number, b: number): number }> = portal;
  return [own, ...untypedGroup, fewer, typed, other];
}

/** A portal of this actor to itself is one as any other. */
export function local(own: LocalPortal<RegistrarApi>): Portal<RegistrarApi> {
  void own.run.findActor("quotes");
  // @ts-expect-error -- a name is text
  void own.run.findActor(1);
  return own;
}
