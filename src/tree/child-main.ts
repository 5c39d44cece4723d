/**
 * What a child process runs: it connects to its parent, loads its modules, listens, registers, and says that it is
 * ready. It ends when its parent's connection does.
 */
import { setRuntime, reserveRuntime } from "../actor/current.ts";
import { Runtime } from "../actor/runtime.ts";
import { readSecurity } from "../actor/security.ts";
import { Deadline } from "../deadline.ts";
import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import { Registries } from "../discovery/registries.ts";
import type { Peer } from "../channel/peer.ts";
import { allPermissions } from "../rpc/policy.ts";
import { encodeFailure } from "../rpc/remote-error.ts";
import type { Session } from "../rpc/session.ts";
import { rankAddresses } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { Kind } from "../wire/messages.ts";
import { bindFresh } from "./bind.ts";
import { childId, type ChildInit, initVariable, orphanVariable } from "./child-init.ts";
import { enableModules } from "./modules.ts";
import { treeSettings } from "./settings.ts";

const log = logger("tree");

/** The file that a child process runs: this one, or the package's. "" in a bundle, which is somebody's whole program. */
export const childFile: string = /[\\/](?:child-main\.ts|furrow\.cjs)$/.test(import.meta.path)
  ? import.meta.path
  : "";

/** A child that failed ends with this code. */
const failedCode = 1;

async function main(init: ChildInit): Promise<void> {
  reserveRuntime();
  const runtime = new Runtime(childId(init, process.pid, hostId()), init.limits, false, {
    rootUuid: init.root.uuid,
    security: readSecurity(init.security),
  });
  // whatever it connects to is as busy as the machine, and the parent has the last word
  runtime.peers.leastStepMs = init.startMs;
  const registries = new Registries(runtime, init.registryAddrs);
  treeSettings.set(runtime, init);
  process.on("exit", () => {
    runtime.listeners.close();
    registries.release();
  });
  // Ctrl-C, and a terminal that closes, reach the whole process group: the root decides, and cancels its children
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  // listening comes first: the handshake carries the addresses
  await bindFresh(runtime, init.transports, init.bindAddrs, init.tcpHost);
  const parent = await connectToParent(runtime, init);
  endOnUncaught(runtime, parent);
  runtime.ending.onEnded(() => process.exit(process.exitCode ?? 0));
  setRuntime(runtime);
  try {
    const joined = registries.connectKnown(init.registrars);
    await enableModules(runtime, init.modules);
    await joined;
    await registries.register();
  } catch (error) {
    await fail(runtime, parent, asError(error));
    return;
  }
  runtime.peers.leastStepMs = 0;
  runtime.becomeReady();
}

async function connectToParent(runtime: Runtime, init: ChildInit): Promise<Peer<Session>> {
  const { dialTimeoutMs, handshakeTimeoutMs } = runtime.limits;
  const timeout = Math.max(dialTimeoutMs + handshakeTimeoutMs, init.startMs);
  const deadline = new Deadline({ timeout }, "connection to the parent");
  const target = { ...init.parent, addrs: rankAddresses(init.parent.addrs) };
  const parent = await runtime.peers.connect(target, deadline);
  // a child looks names up where its parent is registered
  parent.isVouched = true;
  parent.handler.permissions = allPermissions;
  void parent.closed.then(({ reason }) => {
    log.info?.(`the parent is gone (${reason})`);
    // a parent that still lives must not take this for a good end
    if (reason !== "peer-closed" && !runtime.signal.aborted) process.exitCode = failedCode;
    // no code of the user can hold this up: a child does not outlive its parent
    setTimeout(
      () => process.exit(failedCode),
      runtime.limits.stopGraceMs + runtime.limits.stopTermMs,
    ).unref();
    return runtime.cancel();
  });
  return parent;
}

function endOnUncaught(runtime: Runtime, parent: Peer<Session>): void {
  let failing = false;
  const onUncaught = (error: unknown): void => {
    if (failing) return;
    failing = true;
    process.stderr.write(`${Bun.inspect(error)}\n`);
    void fail(runtime, parent, error);
  };
  process.on("uncaughtException", onUncaught);
  process.on("unhandledRejection", onUncaught);
}

/** Tells the parent why, and ends. */
async function fail(runtime: Runtime, parent: Peer<Session>, error: unknown): Promise<void> {
  process.exitCode = failedCode;
  parent.channel.post([Kind.failed, encodeFailure(error, runtime.id)]);
  parent.channel.flush();
  await parent.channel.link.drained();
  await parent.close("failed");
  runtime.listeners.close();
  process.exit(failedCode);
}

const text = process.env[initVariable];
// without the variable this is the root's copy, or a program that is bundled with furrow
if (Bun.main === childFile && text !== undefined) {
  delete process.env[initVariable];
  delete process.env[orphanVariable];
  // not awaited here: a module that awaits cannot be required, nor bundled with its bytecode
  void main(JSON.parse(text) as ChildInit);
}
