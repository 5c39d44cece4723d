/** Compiles, or does not: what a dialog's two ends may say to each other. Nothing here is ever run. */
import type { Context, Dialog, Portal } from "../../src/index.ts";
import { holds, type Same } from "./same.ts";

interface Tick {
  readonly price: number;
}
interface Exports {
  feed(
    ctx: Context<{ started: string; send: Tick; receive: "faster" | "slower" }>,
    symbol: string,
  ): Promise<bigint>;
  silent(ctx: Context): void;
  plain(symbol: string): string;
}

declare const portal: Portal<Exports>;

export async function caller(): Promise<void> {
  await using dialog = await portal.open.feed("btc");
  holds<Same<typeof dialog, Dialog<string, Tick, "faster" | "slower", bigint>>>();
  holds<Same<typeof dialog.started, string>>();
  holds<Same<Awaited<typeof dialog.result>, bigint>>();
  await dialog.send("faster");
  holds<Same<ReturnType<typeof dialog.trySend>, boolean>>();
  for await (const tick of dialog) holds<Same<typeof tick, Tick>>();
  // @ts-expect-error -- not a command of this dialog
  await dialog.send("stop");
  // @ts-expect-error -- the context is not the caller's to pass
  void portal.open.feed({} as Context, "btc");
  // @ts-expect-error -- an argument is missing
  void portal.open.feed();
  // @ts-expect-error -- a function with a context is opened, not run
  void portal.run.feed("btc");
  // @ts-expect-error -- nor streamed
  void portal.stream.feed("btc");
  // @ts-expect-error -- a function without one is run, not opened
  void portal.open.plain("btc");
  await using quiet = await portal.open.silent();
  holds<Same<keyof typeof quiet & "started", "started">>();
}

export async function callee(
  ctx: Context<{ started: string; send: Tick; receive: "faster" }>,
): Promise<void> {
  await ctx.started("ready");
  await ctx.send({ price: 1 });
  for await (const command of ctx) holds<Same<typeof command, "faster">>();
  // @ts-expect-error -- a value is promised
  await ctx.started();
  // @ts-expect-error -- of that type
  await ctx.started(5);
  // @ts-expect-error -- not what it sends
  await ctx.send("tick");
  ctx.draining.throwIfAborted();
  // @ts-expect-error -- the caller is read
  ctx.caller.name = "other";
}

export async function withoutStarted(ctx: Context<{ send: number }>): Promise<void> {
  await ctx.started();
  await ctx.send(1);
}
