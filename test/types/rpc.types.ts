/**
 * What the compiler accepts and refuses. Nothing here runs: `tsc` reports a misuse that it lets pass as an unused
 * `@ts-expect-error`.
 */
import {
  type ActorCluster,
  type ChildInfo,
  type Context,
  type Dialog,
  findActor,
  type FindOptions,
  type LocalPortal,
  type Nursery,
  openNursery,
  type Portal,
  type PortalGroup,
  waitForActor,
} from "../../src/index.ts";
import type { IsAny } from "./same.ts";

/** Fails to compile unless both are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_same: Same<A, B>): void {}

class Account {
  balance = 0;
  deposit(amount: number): void {
    this.balance += amount;
  }
}

interface Tick {
  readonly symbol: string;
  readonly price: number;
}

/** Stands for a module's exports. */
interface Module {
  add(a: number, b: number): number;
  later(text: string, times?: number): Promise<string>;
  fails(): never;
  failsLater(): Promise<never>;
  anything(value: unknown): unknown;
  collect(values: Map<string, Set<Date>>, bytes: Uint8Array, big: bigint): void;
  readonlyArgs(items: readonly string[]): number;
  rest(...items: number[]): number;
  takesFunction(callback: () => void): void;
  takesSymbol(key: symbol): void;
  takesAccount(account: Account): void;
  takesNested(options: { readonly onDone: (() => void)[] }): void;
  takesClass(cls: typeof Account): void;
  ticks(symbol: string): AsyncGenerator<Tick, number, undefined>;
  count(end: number): Generator<number, void, undefined>;
  feed(
    ctx: Context<{ started: string; send: Tick; receive: { pause: boolean } }>,
    symbol: string,
  ): Promise<number>;
  silent(ctx: Context): Promise<void>;
  constant: number;
  default(): void;
}

export async function run(portal: Portal<Module>): Promise<void> {
  same<Promise<number>, ReturnType<typeof portal.run.add>>(true);
  same<Promise<string>, ReturnType<typeof portal.run.later>>(true);
  same<Promise<never>, ReturnType<typeof portal.run.fails>>(true);
  same<Promise<never>, ReturnType<typeof portal.run.failsLater>>(true);
  same<Parameters<Module["add"]>, Parameters<typeof portal.run.add>>(true);
  await portal.run.later("a");
  await portal.run.later("a", 2);
  await portal.run.rest(1, 2, 3);
  await portal.run.readonlyArgs(["a"] as const);
  await portal.run.collect(new Map([["a", new Set([new Date()])]]), new Uint8Array(1), 1n);
  await portal.run.anything(null);
  await portal.with({ timeout: 1 }).run.add(1, 2);

  // @ts-expect-error -- an argument of another type
  await portal.run.add(1, "2");
  // @ts-expect-error -- one too few
  await portal.run.add(1);
  // @ts-expect-error -- one too many
  await portal.run.add(1, 2, 3);
  // @ts-expect-error -- the result is a number
  const _text: string = await portal.run.add(1, 2);
  // @ts-expect-error -- no such function
  await portal.run.subtract(1, 2);
  // @ts-expect-error -- no function
  await portal.run.constant();
  // @ts-expect-error -- the default export cannot be called
  await portal.run.default();
  // @ts-expect-error -- a result is not there before it is awaited
  portal.run.add(1, 2).toFixed();
  // @ts-expect-error -- unknown option
  portal.with({ retries: 3 });
}

export async function argumentsThatCannotCross(portal: Portal<Module>): Promise<void> {
  // @ts-expect-error -- a function
  await portal.run.takesFunction(() => {});
  // @ts-expect-error -- a symbol
  await portal.run.takesSymbol(Symbol.iterator);
  // @ts-expect-error -- an instance of a class with methods
  await portal.run.takesAccount(new Account());
  // @ts-expect-error -- a function further down
  await portal.run.takesNested({ onDone: [() => {}] });
  // @ts-expect-error -- a class
  await portal.run.takesClass(Account);
}

export async function otherVerbs(portal: Portal<Module>): Promise<void> {
  // @ts-expect-error -- a generator is no call
  await portal.run.ticks("a");
  // @ts-expect-error -- nor is one that is not asynchronous
  await portal.run.count(1);
  // @ts-expect-error -- a dialog is no call
  await portal.run.feed("a");
  // @ts-expect-error -- a call is no stream
  portal.stream.add(1, 2);
  // @ts-expect-error -- a dialog is no stream
  portal.stream.feed("a");
  // @ts-expect-error -- a call is no dialog
  await portal.open.add(1, 2);
  // @ts-expect-error -- a stream is no dialog
  await portal.open.ticks("a");
  // @ts-expect-error -- a function that never returns is a call, and nothing else
  portal.stream.fails();
  // @ts-expect-error -- neither a dialog
  await portal.open.fails();
  // @ts-expect-error -- what takes anything takes no context
  await portal.open.anything();
}

export async function streams(portal: Portal<Module>): Promise<void> {
  same<AsyncGenerator<Tick, number, undefined>, ReturnType<typeof portal.stream.ticks>>(true);
  same<AsyncGenerator<number, void, undefined>, ReturnType<typeof portal.stream.count>>(true);
  for await (const tick of portal.stream.ticks("a")) {
    same<Tick, typeof tick>(true);
    // @ts-expect-error -- no such field
    void tick.volume;
  }
  // @ts-expect-error -- an argument of another type
  portal.stream.ticks(1);
  // @ts-expect-error -- it is not there at once
  for (const _ of portal.stream.count(1));
  // @ts-expect-error -- nothing can be sent into a stream
  await portal.stream.count(1).next("value");
}

export async function dialogs(portal: Portal<Module>): Promise<void> {
  await using dialog = await portal.open.feed("a");
  same<Dialog<string, Tick, { pause: boolean }, number>, typeof dialog>(true);
  same<string, typeof dialog.started>(true);
  same<Promise<number>, typeof dialog.result>(true);
  await dialog.send({ pause: true });
  for await (const tick of dialog) same<Tick, typeof tick>(true);
  // @ts-expect-error -- the callee's type, not the caller's
  await dialog.send({ symbol: "a", price: 1 });
  // @ts-expect-error -- of another type
  dialog.trySend("pause");
  // @ts-expect-error -- the context is furrow's to give
  await portal.open.feed({} as Context, "a");
  // @ts-expect-error -- an argument of another type
  await portal.open.feed(1);
  // @ts-expect-error -- an argument is missing
  await portal.open.feed();

  await using silent = await portal.open.silent();
  same<Promise<void>, typeof silent.result>(true);
}

export async function callee(
  ctx: Context<{ started: string; send: Tick; receive: { pause: boolean } }>,
): Promise<void> {
  await ctx.started("ready");
  await ctx.send({ symbol: "a", price: 1 });
  for await (const command of ctx) same<{ pause: boolean }, typeof command>(true);
  // @ts-expect-error -- the started value is missing
  await ctx.started();
  // @ts-expect-error -- the started value is of another type
  await ctx.started(1);
  // @ts-expect-error -- the caller's type, not the callee's
  await ctx.send({ pause: true });
  // @ts-expect-error -- of another type
  ctx.trySend(1);
  // @ts-expect-error -- who the caller is cannot be changed
  ctx.caller = { name: "me", uuid: "", pid: 1, host: "" };
}

export async function calleeWithoutTypes(
  bare: Context<{ receive: string }>,
  optional: Context<{ started: number | undefined }>,
): Promise<void> {
  await bare.started();
  await optional.started();
  await optional.started(1);
  // @ts-expect-error -- no started value was declared
  await bare.started("ready");
  // @ts-expect-error -- it sends nothing
  await bare.send("value");
  // @ts-expect-error -- it receives nothing
  for await (const command of optional) command.toString();
}

/** Without a type for the module everything may be called, and nothing is known of the results. */
export async function loose(portal: Portal, local: LocalPortal): Promise<void> {
  same<true, IsAny<Awaited<ReturnType<typeof portal.run.whatever>>>>(true);
  await portal.run["anything"](1, "two");
  for await (const value of portal.stream["anything"]()) same<true, IsAny<typeof value>>(true);
  await using dialog = await local.open["anything"]();
  await dialog.send(1);
}

export async function lookups(): Promise<void> {
  const maybe = await findActor<Module>("name");
  same<Portal<Module> | null, typeof maybe>(true);
  // @ts-expect-error -- it may be null
  await maybe.run.add(1, 2);
  const sure = await findActor<Module>("name", { raiseOnNone: true });
  same<Portal<Module>, typeof sure>(true);
  const all = await findActor<Module>("name", { onlyFirst: false });
  same<PortalGroup<Module>, typeof all>(true);
  const allOrError = await findActor<Module>("name", { onlyFirst: false, raiseOnNone: true });
  same<PortalGroup<Module>, typeof allOrError>(true);
  // @ts-expect-error -- a group is no portal
  await all.run.add(1, 2);
  // @ts-expect-error -- a group is not written to
  all.push(sure);
  const first = await waitForActor<Module>("name");
  same<Portal<Module>, typeof first>(true);
  // @ts-expect-error -- a name is text
  await findActor(1);
  // @ts-expect-error -- no address
  await findActor("name", { registryAddrs: ["localhost:1616"] });
  // @ts-expect-error -- unknown transport
  await findActor("name", { enableTransports: ["udp"] });
  const flag = Math.random() < 0.5;
  const firstOrAll = await findActor<Module>("name", { onlyFirst: flag });
  same<Portal<Module> | PortalGroup<Module> | null, typeof firstOrAll>(true);
  const sureOrAll = await findActor<Module>("name", { onlyFirst: flag, raiseOnNone: true });
  same<Portal<Module> | PortalGroup<Module>, typeof sureOrAll>(true);
  const options: FindOptions = { onlyFirst: flag };
  const byOptions = await findActor<Module>("name", options);
  same<Portal<Module> | PortalGroup<Module> | null, typeof byOptions>(true);
  // @ts-expect-error -- it may be several
  await sureOrAll.run.add(1, 2);
  const either = await findActor<Module>("name", { raiseOnNone: flag });
  same<Portal<Module> | null, typeof either>(true);
  // @ts-expect-error -- whether it may be null is known when it runs
  await either.run.add(1, 2);
}

export async function clusters(cluster: ActorCluster<Module>): Promise<void> {
  const numbers = await cluster.map("rest", [1, 2, 3]);
  same<number[], typeof numbers>(true);
  const texts = await cluster.map("later", new Set(["a"]));
  same<string[], typeof texts>(true);
  // @ts-expect-error -- items of another type
  await cluster.map("later", [1, 2]);
  // @ts-expect-error -- no such function
  await cluster.map("subtract", [1]);
  // @ts-expect-error -- a generator is no work for a cluster
  await cluster.map("ticks", ["a"]);
  // @ts-expect-error -- its argument can't cross
  await cluster.map("takesSymbol", [Symbol.iterator]);
  // @ts-expect-error -- neither is a dialog
  await cluster.map("feed", ["a"]);
  // @ts-expect-error -- no option of that name
  await cluster.map("later", ["a"], { count: 2 });
  // @ts-expect-error -- a function of two arguments that both are needed cannot do with one item
  await cluster.map("add", [1]);
  // @ts-expect-error -- the map of portals is not written to
  cluster.portals.clear();
}

export async function children(nursery: Nursery): Promise<void> {
  const child = await nursery.startActor<Module>("child", { module: import.meta.url, restart: "always" });
  same<Portal<Module>, typeof child>(true);
  const shared = await nursery.findOrStart<Module>("child", { module: import.meta.url, unique: true });
  same<Portal<Module>, typeof shared>(true);
  await nursery.startActor("child", { restart: { when: "on-failure", maxRestarts: 1, backoffMs: [1, 2] } });
  // @ts-expect-error -- no such policy
  await nursery.startActor("child", { restart: "sometimes" });
  // @ts-expect-error -- a policy in full is one that restarts
  await nursery.startActor("child", { restart: { when: "never" } });
  // @ts-expect-error -- a name is text
  await nursery.startActor(1, {});
  // @ts-expect-error -- no such option
  await nursery.startActor("child", { modul: import.meta.url });
  await nursery.startActor("child", {
    data: { any: new Map() },
    execArgv: ["--smol"],
    cwd: "/",
    inspect: true,
  });
  await nursery.startActor("child", { inspect: "127.0.0.1:6499" });
  // @ts-expect-error -- a list
  await nursery.startActor("child", { execArgv: "--smol" });
  const [first] = nursery.children;
  same<ChildInfo | undefined, typeof first>(true);
  // @ts-expect-error -- a snapshot
  nursery.children.push(first!);
  for await (const event of nursery.events()) {
    same<"started" | "died" | "restarted" | "gave-up", (typeof event)["type"]>(true);
    same<Error | undefined, (typeof event)["error"]>(true);
  }
  await openNursery({ strategy: "rest-for-one" });
  // @ts-expect-error -- no such strategy
  await openNursery({ strategy: "rest-for-all" });
}

export async function oneCall(nursery: Nursery, file: URL): Promise<void> {
  const number = await nursery.run<Module, "add">(file, "add", 1, 2);
  same<number, typeof number>(true);
  const text = await nursery.run<Module, "later">("./module.ts", "later", "a");
  same<string, typeof text>(true);
  const nothing = await nursery.run<Module, "failsLater">(file, "failsLater");
  same<never, typeof nothing>(true);
  const sum = await nursery.run<Module, "rest">(file, "rest", 1, 2, 3);
  same<number, typeof sum>(true);
  // without a type it takes and gives anything
  const anything = await nursery.run(file, "whatever", 1, "a");
  same<true, IsAny<typeof anything>>(true);
  anything.field.call();
  // @ts-expect-error -- too few arguments
  await nursery.run<Module, "add">(file, "add", 1);
  // @ts-expect-error -- of another type
  await nursery.run<Module, "add">(file, "add", 1, "2");
  // @ts-expect-error -- no such function
  await nursery.run<Module, "subtract">(file, "subtract", 1, 2);
  // @ts-expect-error -- another one than the type says
  await nursery.run<Module, "add">(file, "later", "a");
  // @ts-expect-error -- a generator is no call
  await nursery.run<Module, "ticks">(file, "ticks", "a");
  // @ts-expect-error -- neither is a dialog
  await nursery.run<Module, "feed">(file, "feed", "a");
  // @ts-expect-error -- a symbol can't cross
  await nursery.run<Module, "takesSymbol">(file, "takesSymbol", Symbol.iterator);
}
