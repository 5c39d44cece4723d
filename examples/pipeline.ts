/**
 * A streaming service of three processes that find each other by name: a feed of trades, a transform that turns them
 * into candles, and a client. Each reads at its own pace, so a slow client slows the feed. When the client has seen
 * enough, first the feed and then the transform end, before the client's function goes on.
 *
 * Prints:
 *
 *     client: candle 1, from 10 to 17
 *     client: candle 2, from 9 to 16
 *     client: candle 3, from 7 to 14
 *     feed: closed
 *     transform: closed
 *     client: left
 */
import { findActor, openNursery } from "furrow";

type Actors = typeof import("./pipeline.ts");

export interface Candle {
  readonly low: number;
  readonly high: number;
}

/** Runs in the feed. */
export async function* trades(): AsyncGenerator<number, void, undefined> {
  try {
    for (let n = 1; ; n++) {
      yield 5 + ((n * 6) % 13);
      await Bun.sleep(1);
    }
  } finally {
    console.log("feed: closed");
  }
}

/** Runs in the transform: yields a candle for every three trades. */
export async function* candles(source: string): AsyncGenerator<Candle, void, undefined> {
  await using feed = await findActor<Actors>(source, { raiseOnNone: true });
  try {
    let prices: number[] = [];
    for await (const price of feed.stream.trades()) {
      prices.push(price);
      if (prices.length < 3) continue;
      yield { low: Math.min(...prices), high: Math.max(...prices) };
      prices = [];
    }
  } finally {
    console.log("transform: closed");
  }
}

/** Runs in the client. */
export async function watch(service: string, source: string, count: number): Promise<void> {
  await using transform = await findActor<Actors>(service, { raiseOnNone: true });
  let seen = 0;
  for await (const { low, high } of transform.stream.candles(source)) {
    console.log(`client: candle ${++seen}, from ${low} to ${high}`);
    if (seen === count) break;
  }
  console.log("client: left");
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await nursery.startActor("trades", { module: import.meta.url });
  await nursery.startActor("candles", { module: import.meta.url });
  await using client = await nursery.startActor<Actors>("client", { module: import.meta.url });
  await client.run.watch("candles", "trades", 3);
}
