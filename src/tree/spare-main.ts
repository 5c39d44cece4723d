/** What a spare process does before it is an actor; `spares.ts` is the other side. */
import { type ChildInit, spareName } from "./child-init.ts";
import { openOrders, ordersFd } from "./orders.ts";
import { lastArgument } from "./process-arguments.ts";
import { rehearse } from "./rehearsal.ts";

/**
 * Waits until this process is to become an actor, and takes that one's name. `dir`: see `SpareInit`. `since`: when the orders
 * came, by `performance.now()`.
 */
export async function receiveInit(
  dir: string | null,
): Promise<{ readonly init: ChildInit; readonly since: number }> {
  const orders = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let text = "";
  let isWaiting = true;
  let since = 0;
  const onData = (bytes: Uint8Array): void => {
    if (text === "") since = performance.now();
    text += decoder.decode(bytes, { stream: true });
    if (text.endsWith("\n")) orders.resolve(text);
  };
  // the nursery has ended
  const onClose = (): void => void (isWaiting && process.exit(0));
  const socket = await openOrders(ordersFd, onData, onClose);
  const takeName = lastArgument(spareName);
  // they may be there already
  await Bun.sleep(0);
  if (text === "" && dir !== null) await rehearse(dir);
  socket.write(".");
  const init = JSON.parse(await orders.promise) as ChildInit;
  isWaiting = false;
  socket.end(".");
  takeName(init.name);
  return { init, since };
}
