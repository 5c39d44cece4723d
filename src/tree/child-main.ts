/**
 * How a child starts: it listens, connects to its parent, loads its modules, registers, and reports that it's ready. It
 * ends when the connection to its parent does. `child.ts` calls it.
 */
import { setRuntime, reserveRuntime } from "../actor/current.ts";
import { Runtime } from "../actor/runtime.ts";
import { readSecurity } from "../actor/security.ts";
import { Deadline } from "../deadline.ts";
import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import type { HoldForm } from "../discovery/holds.ts";
import { Membership } from "../discovery/membership.ts";
import type { Peer } from "../channel/peer.ts";
import { flushWithoutTicks } from "../channel/turn.ts";
import { allPermissions } from "../rpc/policy.ts";
import type { Session } from "../rpc/session.ts";
import { rankAddresses } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { Kind } from "../wire/messages.ts";
import { bindFresh } from "./bind.ts";
import {
  childId,
  type ChildInit,
  developVariable,
  initVariable,
  orphanVariable,
  type SpareInit,
} from "./child-init.ts";
import { enableModules, setLineage } from "./modules.ts";
import { treeSettings } from "./settings.ts";

const log = logger("tree");

/** The file that a child process runs, `child.ts` or its packaged form. "" in a bundle, which holds the whole program. */
export const childFile: string =
  fileBeside("/child-main.ts", "/child.ts") ?? fileBeside("/core.cjs", "/child.js") ?? "";

/** The path of a file beside this one, if this one's path ends so. */
function fileBeside(end: string, name: string): string | undefined {
  const path = import.meta.path;
  return path.endsWith(end) ? path.slice(0, -end.length) + name : undefined;
}

/** How much of a start's time is kept for the report that it has failed. */
const maxReportMs = 500;
/** The exit code of a child that failed. */
const failedCode = 1;

/**
 * Runs the actor of this process, if its parent has started it as a child. Returns what settles when it has started, or
 * undefined if this process isn't a child.
 */
export function runChild(): Promise<void> | undefined {
  const text = process.env[initVariable];
  if (text === undefined) return undefined;
  // Ctrl-C and a closing terminal signal the whole process group: leave it to the root to cancel its children
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  const init = JSON.parse(text) as ChildInit | SpareInit;
  return "spare" in init ? runSpare(init) : run(init, 0);
}

/** As `runChild`, in a process that was started before there was an actor for it. */
async function runSpare({ spare }: SpareInit): Promise<void> {
  const { receiveInit } = require("./spare-main.ts") as typeof import("./spare-main.ts");
  const { init, since } = await receiveInit(spare);
  await run(init, since);
}

/** `since`: when the start began, by `performance.now()`. */
async function run(init: ChildInit, since: number): Promise<void> {
  for (const [name, value] of Object.entries({ ...init.env, [initVariable]: null, [orphanVariable]: null })) {
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
  const flushAsUsual = flushWithoutTicks();
  reserveRuntime();
  setLineage(init.lineage);
  const runtime = new Runtime(childId(init, process.pid, hostId()), init.limits, false, {
    rootUuid: init.root.uuid,
    security: readSecurity(init.security),
    version: init.version,
    metadata: init.metadata,
    parent: init.parent.uuid,
    advertise: init.advertise,
  });
  // on a busy machine the peers that it connects to are slow too: leave the timeout to the parent
  runtime.peers.leastStepMs = init.startMs;
  const membership = new Membership(runtime, init.registryAddrs);
  treeSettings.set(runtime, init);
  runtime.callTimeoutMs = init.callTimeoutMs;
  runtime.dispatcher.builtIns = () =>
    (require("./built-ins.ts") as typeof import("./built-ins.ts")).builtIns(runtime);
  if (init.concurrency !== undefined) runtime.limitConcurrency(init.concurrency);
  process.on("exit", () => {
    runtime.listeners.close();
    membership.release();
  });
  // listen first: the handshake carries the addresses
  await bindFresh(runtime, init.transports, init.bindAddrs, init.tcpHost);
  const parent = await connectToParent(runtime, init);
  endOnUncaught(runtime, parent);
  let endedBy: NodeJS.Signals | undefined;
  // most actors have nothing to clean up, and may die at once
  runtime.ending.onFirstCleanUp = () => {
    const { allowCleanUp } = require("./clean-end.ts") as typeof import("./clean-end.ts");
    allowCleanUp(runtime, (signal) => (endedBy = signal));
  };
  runtime.ending.onEnded(() => {
    if (endedBy === undefined) process.exit(process.exitCode ?? 0);
    // to the parent it is as if the signal had ended it at once
    process.removeAllListeners(endedBy);
    process.kill(process.pid, endedBy);
  });
  runtime.serve(Kind.registrars, (session, message) => {
    if (session === parent.handler) membership.onTold(message);
  });
  setRuntime(runtime);
  try {
    const joined = membership.connectKnown(init.registrars);
    if (init.hold !== undefined) {
      await joined;
      await joinHold(membership, init.name, init.hold);
    }
    if (init.hasData) runtime.data = await fetchData(parent);
    await enableModules(runtime, init.modules);
    await joined;
    await register(runtime, membership, leftToRegisterMs(init, since));
  } catch (error) {
    await fail(runtime, parent, asError(error));
    return;
  }
  runtime.peers.leastStepMs = 0;
  membership.onNameLost = (error) => {
    // two would run for as long as both live
    process.exitCode = failedCode;
    postFailure(runtime, parent, error);
    void runtime.cancel(error);
  };
  runtime.becomeReady();
  // what that sends is flushed first
  queueMicrotask(flushAsUsual);
  if (process.env[developVariable] !== undefined) {
    const { reloadOnChange } = require("./reload.ts") as typeof import("./reload.ts");
    reloadOnChange(runtime, parent);
  }
}

/**
 * Registers the actor. Whoever finds it from then on may stop it before the registrar's acknowledgement has arrived. Its end waits
 * for that, since it has started all the same, and its parent has to hear so first.
 */
async function register(runtime: Runtime, membership: Membership, timeoutMs: number): Promise<void> {
  const registered = membership.register(timeoutMs);
  const withdraw = runtime.ending.at("children", async () => {
    const bound = new Deadline({ timeout: runtime.limits.stopGraceMs / 2 }, "registration");
    await bound.race("stop", registered);
  });
  await registered;
  withdraw();
}

/** Almost all of the start's time that is left: why there is no registrar has to reach the parent before that gives up. */
function leftToRegisterMs({ startMs }: ChildInit, since: number): number {
  return Math.max(0, startMs - (performance.now() - since) - Math.min(startMs / 10, maxReportMs));
}

/** Before any of its modules are loaded: if its parent is dead, another process may have been given the name. */
async function joinHold(membership: Membership, name: string, hold: HoldForm): Promise<void> {
  const { Holds } = require("../discovery/holds.ts") as typeof import("../discovery/holds.ts");
  await Holds.of(membership.registrars).join(name, hold);
}

async function connectToParent(runtime: Runtime, init: ChildInit): Promise<Peer<Session>> {
  const { dialTimeoutMs, handshakeTimeoutMs } = runtime.limits;
  const timeout = Math.max(dialTimeoutMs + handshakeTimeoutMs, init.startMs);
  const deadline = new Deadline({ timeout }, "connection to the parent");
  const target = { ...init.parent, addrs: rankAddresses(init.parent.addrs) };
  const parent = await runtime.peers.connect(target, deadline);
  // a child uses the same registrars as its parent
  parent.isVouched = true;
  parent.handler.permissions = allPermissions;
  void parent.closed.then(({ reason }) => {
    log.info?.(`the parent is gone (${reason})`);
    // if the parent is still alive, it must not see this as a normal exit
    if (reason !== "peer-closed" && !runtime.signal.aborted) process.exitCode = failedCode;
    // user code must not delay this: a child doesn't outlive its parent
    setTimeout(
      () => process.exit(failedCode),
      runtime.limits.stopGraceMs + runtime.limits.stopTermMs,
    ).unref();
    return runtime.cancel();
  });
  return parent;
}

/** What most children don't need isn't loaded. */
async function fetchData(parent: Peer<Session>): Promise<unknown> {
  const { fetchData: fetch } = require("./start-data.ts") as typeof import("./start-data.ts");
  return await fetch(parent.handler);
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

function postFailure(runtime: Runtime, parent: Peer<Session>, error: unknown): void {
  const { encodeFailure } = require("../rpc/remote-error.ts") as typeof import("../rpc/remote-error.ts");
  parent.channel.post([Kind.failed, encodeFailure(error, runtime.id)]);
}

/** Reports the error to the parent, and exits. */
async function fail(runtime: Runtime, parent: Peer<Session>, error: unknown): Promise<void> {
  process.exitCode = failedCode;
  postFailure(runtime, parent, error);
  parent.channel.flush();
  await parent.channel.link.drained();
  await parent.close("failed");
  runtime.listeners.close();
  process.exit(failedCode);
}
