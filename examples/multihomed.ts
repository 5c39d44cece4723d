/**
 * An actor listens on a unix socket and on tcp, and registers both addresses. Clients that look it up dial the socket
 * file first, and fall back to tcp if nothing answers there.
 *
 * Prints, with other numbers:
 *
 *     the store listens at unix:///run/user/1000/furrow/store@4711.sock, tcp://127.0.0.1:38741
 *     first client: came over unix
 *     the socket file is removed
 *     second client: came over tcp
 */
import { rmSync } from "node:fs";

import { findActor, getRegistry, openNursery, parseAddress, rankAddresses } from "furrow";

type Actors = typeof import("./multihomed.ts");

/** Runs in a client: finds the store, and returns which of its addresses the connection uses. */
export async function visitStore(): Promise<string> {
  await using store = await findActor("store", { raiseOnNone: true });
  return `came over ${parseAddress(store.addr).transport}`;
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await nursery.startActor("store", {});
  await using registry = await getRegistry();
  const registration = await registry.run.findActor("store");
  const addrs = rankAddresses(registration?.addrs ?? []);
  console.log("the store listens at", addrs.join(", "));

  await using first = await nursery.startActor<Actors>("first client", { module: import.meta.url });
  await using second = await nursery.startActor<Actors>("second client", { module: import.meta.url });
  console.log("first client:", await first.run.visitStore());

  // the store notices within a second, and binds it again
  const best = parseAddress(addrs[0]!);
  if (best.transport === "unix") rmSync(best.path);
  console.log("the socket file is removed");
  console.log("second client:", await second.run.visitStore());
}
