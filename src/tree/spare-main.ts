/** What a spare process does before it is an actor; `spares.ts` is the other side. */
import { Runtime } from "../actor/runtime.ts";
import { Deadline } from "../deadline.ts";
import { asError } from "../errors.ts";
import { defaultLimits } from "../limits.ts";
import { logger } from "../log.ts";
import type { Address } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { childId, type ChildInit, spareName } from "./child-init.ts";
import { openOrders, ordersFd } from "./orders.ts";
import { lastArgument } from "./process-arguments.ts";

const log = logger("tree");

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
  if (text === "") await rehearse(parent);
  socket.write(".");
  const init = JSON.parse(await orders.promise) as ChildInit;
  isWaiting = false;
  socket.end(".");
  takeName(init.name);
  return init;
}

/**
 * Calls itself, and asks the parent who it is, as one that looks for a registrar does. When this code runs for the first time, that
 * takes a third of what is left of a start (row `spawn.spare`).
 */
async function rehearse(parent: Address | null): Promise<void> {
  const id = childId({ name: "spare", uuid: crypto.randomUUID() }, process.pid, hostId());
  const runtime = new Runtime(id, defaultLimits, false);
  const timeout = defaultLimits.probeTimeoutMs;
  try {
    runtime.dispatcher.expose({ nothing() {} }, "rehearsal");
    await runtime.localSession.call("nothing", [], { timeout });
    if (parent !== null) await runtime.peers.probe(parent, new Deadline({ timeout }, "rehearsal"));
  } catch (error) {
    log.info?.(`no rehearsal: ${asError(error).message}`);
  }
}
