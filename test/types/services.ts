/** Compiles, or does not: what a service lets its user call, and what `openService` takes. Nothing here is ever run. */
import {
  type Context,
  type Dialog,
  type KeyOf,
  type OpenApi,
  openService,
  type Portal,
  type Registration,
  type RunApi,
  type Service,
  type ServiceBy,
  type StreamApi,
} from "../../src/index.ts";
import { holds, type Same } from "./same.ts";

interface Quotes {
  getQuote(symbol: string): number;
  takesCallback(callback: () => void): void;
  ticks(symbol: string): AsyncGenerator<number, string, undefined>;
  feed(ctx: Context<{ started: string; send: number; receive: boolean }>, symbol: string): Promise<bigint>;
}

export async function calls(): Promise<void> {
  await using service = await openService<Quotes>("quotes");
  holds<Same<typeof service, Service<Quotes>>>();
  // as a portal's
  holds<Same<typeof service.run, RunApi<Quotes>>>();
  holds<Same<typeof service.run, Portal<Quotes>["run"]>>();
  holds<Same<typeof service.stream, StreamApi<Quotes>>>();
  holds<Same<typeof service.open, OpenApi<Quotes>>>();
  holds<Same<ReturnType<typeof service.run.getQuote>, Promise<number>>>();
  for await (const tick of service.stream.ticks("btc")) holds<Same<typeof tick, number>>();
  const dialog = await service.open.feed("btc");
  holds<Same<typeof dialog, Dialog<string, number, boolean, bigint>>>();
  holds<Same<typeof service.instances, readonly Registration[]>>();

  // @ts-expect-error -- an argument is missing
  void service.run.getQuote();
  // @ts-expect-error -- a function cannot cross
  void service.run.takesCallback(() => {});
  // @ts-expect-error -- a generator is streamed, not run
  void service.run.ticks("btc");
  // @ts-expect-error -- the list is furrow's own
  service.instances.pop();

  const untyped = await openService("quotes");
  void untyped.run["anything"]();
}

export async function options(): Promise<void> {
  const service = await openService<Quotes>("quotes", {
    by: (fn, [first]) => `${fn}:${String(first)}`,
    where: { zone: "eu", weight: 2, beta: false },
    needs: ["getQuote"],
    registryAddr: "/run/registry.sock",
    signal: new AbortController().signal,
    waitMs: 0,
  });
  holds<Same<ReturnType<typeof service.with>, Service<Quotes>>>();
  void service.with({ signal: AbortSignal.timeout(1), timeout: 5, idempotent: true }).run.getQuote("btc");
  holds<Same<KeyOf, (fn: string, args: readonly unknown[]) => string>>();
  for (const by of ["round-robin", "random", "least-busy"] satisfies ServiceBy[])
    void openService("quotes", { by });

  // @ts-expect-error -- no such way
  void openService("quotes", { by: "fastest" });
  // @ts-expect-error -- a key is a string
  void openService("quotes", { by: () => 7 });
  // @ts-expect-error -- metadata holds no lists
  void openService("quotes", { where: { zones: ["eu"] } });
  // @ts-expect-error -- a portal may not run anything twice
  void (undefined as unknown as Portal<Quotes>).with({ idempotent: true });
}
