/**
 * One stream, many readers. Each tick crosses the connection once, and every reader in this process gets it. A reader
 * that falls too far behind gets a LaggedError and is unsubscribed; it never slows the others.
 *
 * Prints:
 *
 *     sum: 40 ticks, 820 in all
 *     highest: 40 ticks, 40 at most
 *     slow: 1, then 8 queued values, then LaggedError: a subscriber is more than 8 values behind
 *     ticker: stopped
 */
import { broadcast, LaggedError, openNursery } from "furrow";

type Ticker = typeof import("./fan-out.ts");

/** Runs in the ticker. */
export async function* ticks(everyMs: number): AsyncGenerator<number, void, undefined> {
  try {
    for (let tick = 1; ; tick++) {
      yield tick;
      await Bun.sleep(everyMs);
    }
  } finally {
    console.log("ticker: stopped");
  }
}

async function takeForty(values: AsyncIterable<number>): Promise<number[]> {
  const taken: number[] = [];
  for await (const value of values) if (taken.push(value) === 40) break;
  return taken;
}

async function readLate(values: AsyncIterable<number>, others: Promise<unknown>): Promise<string> {
  const taken: number[] = [];
  try {
    for await (const value of values) {
      taken.push(value);
      await others; // if the readers shared one credit, this one would hold up the rest
    }
  } catch (error) {
    if (!(error instanceof LaggedError)) throw error;
    return `${taken[0]}, then ${taken.length - 1} queued values, then ${error}`;
  }
  return "kept up";
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using ticker = await nursery.startActor<Ticker>("ticker", { module: import.meta.url });
  await using channel = broadcast(ticker.stream.ticks(1), { capacity: 8 });

  const sum = takeForty(channel.subscribe());
  const highest = takeForty(channel.subscribe());
  const slow = readLate(channel.subscribe(), Promise.all([sum, highest]));

  const sums = await sum;
  const all = sums.reduce((total, tick) => total + tick, 0);
  console.log(`sum: ${sums.length} ticks, ${all} in all`);
  const highs = await highest;
  console.log(`highest: ${highs.length} ticks, ${Math.max(...highs)} at most`);
  console.log("slow:", await slow);
  // the end of the block ends the broadcast, and with it the generator in the other process
}
