/** What a spare process does before it is an actor; `spares.ts` is the other side. */
import type { Address } from "../transport/address.ts";
import { type ChildInit, spareName } from "./child-init.ts";
import { openOrders, ordersFd } from "./orders.ts";
import { lastArgument } from "./process-arguments.ts";
import { rehearse } from "./rehearsal.ts";

/** Waits until this process is to become an actor, and takes that one's name. `parent`: see `SpareInit`. */
export async function receiveInit(parent: Address | null): Promise<ChildInit> {
  const orders = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let text = "";
  let isWaiting = true;
  const onData = (bytes: Uint8Array): void => {
    text += decoder.decode(bytes, { stream: true });
    if (text.endsWith("\n")) orders.resolve(text);
  };
  // the nursery has ended
  const onClose = (): void => void (isWaiting && process.exit(0));
  const socket = await openOrders(ordersFd, onData, onClose);
  const takeName = lastArgument(spareName);
  // they may be there already
  await Bun.sleep(0);
  if (text === "" && parent !== null) await rehearse(parent);
  socket.write(".");
  const init = JSON.parse(await orders.promise) as ChildInit;
  isWaiting = false;
  socket.end(".");
  takeName(init.name);
  return init;
}
