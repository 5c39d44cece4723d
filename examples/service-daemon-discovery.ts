/**
 * A daemon with a name, and a client that finds it by that name: two processes, and no addresses in the code.
 *
 * Prints:
 *
 *     client: 3 BTC cost 289500, says the daemon (over unix)
 *     client: RangeError: no price for XYZ
 *     an unknown name: null
 *     the daemon stopped: true
 *     the daemon's name afterwards: null
 */
import { findActor, openNursery, parseAddress, RemoteActorError } from "furrow";

type Market = typeof import("./service-daemon-discovery.ts");

const prices: Record<string, number> = { BTC: 96_500, ETH: 3_400 };

/** Runs in the daemon. */
export function getPrice(symbol: string): number {
  const price = prices[symbol];
  if (price === undefined) throw new RangeError(`no price for ${symbol}`);
  return price;
}

/** Runs in the client, which knows only the daemon's name. */
export async function buy(service: string, symbol: string, amount: number): Promise<string> {
  await using market = await findActor<Market>(service, { raiseOnNone: true });
  try {
    const cost = amount * (await market.run.getPrice(symbol));
    return `${amount} ${symbol} cost ${cost}, says the daemon (over ${parseAddress(market.addr).transport})`;
  } catch (error) {
    if (error instanceof RemoteActorError) return String(error.cause);
    throw error;
  }
}

// the actors import this file too, for the functions above; only the main program runs what follows
if (import.meta.main) {
  await using nursery = await openNursery();
  const service = `market-${process.pid}`; // another run of this program has another pid
  await using daemon = await nursery.startActor<Market>(service, { module: import.meta.url });
  await using client = await nursery.startActor<Market>("client", { module: import.meta.url });

  console.log("client:", await client.run.buy(service, "BTC", 3));
  console.log("client:", await client.run.buy(service, "XYZ", 1));
  console.log("an unknown name:", await findActor("weather"));
  console.log("the daemon stopped:", await daemon.cancelActor());
  console.log("the daemon's name afterwards:", await findActor(service));
}
