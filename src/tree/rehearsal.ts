/**
 * What a spare process does while it waits. Code that runs for the first time takes several times as long, and a start runs most of
 * its code once. So the spare plays a start through, with another actor of its own process as the registrar: then a real one takes two
 * thirds of the time (row `spawn.spare`).
 */
import { Runtime } from "../actor/runtime.ts";
import { Membership } from "../discovery/membership.ts";
import { asError } from "../errors.ts";
import { defaultLimits } from "../limits.ts";
import { logger, unlogged } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { Kind, type MessageOf } from "../wire/messages.ts";
import { childId, spareTitle } from "./child-init.ts";
import { rehearsalPath } from "./orders.ts";

const log = logger("tree");

/** `dir`: see `SpareInit`. It leaves nothing behind. All that it logs is why it has failed, if it has. */
export async function rehearse(dir: string): Promise<void> {
  try {
    await unlogged(() => rehearseAt(`unix://${rehearsalPath(dir, process.pid)}`));
  } catch (error) {
    log.info?.(`no rehearsal: ${asError(error).message}`);
  }
}

async function rehearseAt(addr: Address): Promise<void> {
  const registrar = newActor();
  const actor = newActor();
  const membership = new Membership(actor, [addr]);
  const onExit = (): void => {
    registrar.listeners.close();
    membership.release();
  };
  process.on("exit", onExit);
  const { probeTimeoutMs: timeout } = defaultLimits;
  try {
    const acknowledge = (
      session: Session,
      [, id]: MessageOf<typeof Kind.register | typeof Kind.unregister>,
    ): void => session.reply(id, 1);
    registrar.serve(Kind.register, acknowledge);
    registrar.serve(Kind.unregister, acknowledge);
    await registrar.listeners.bind(addr);
    actor.dispatcher.expose({ nothing() {} }, "rehearsal");
    await actor.localSession.call("nothing", [], { timeout });
    await membership.join({ ...registrar.id, addrs: [addr] });
    await membership.register(timeout);
    actor.becomeReady();
  } finally {
    await actor.cancel();
    await registrar.cancel();
    process.off("exit", onExit);
  }
}

function newActor(): Runtime {
  const init = { name: spareTitle, uuid: crypto.randomUUID() };
  return new Runtime(childId(init, process.pid, hostId()), defaultLimits, false);
}
