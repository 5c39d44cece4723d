/** The root of a tree: it probes the registry addresses, joins the registrar or becomes it, and listens. */
import type { Actor } from "../actor/actor.ts";
import { actorRuntime, reserveRuntime, setRuntime } from "../actor/current.ts";
import { Runtime } from "../actor/runtime.ts";
import { withAbsolutePaths } from "../actor/security.ts";
import { Deadline } from "../deadline.ts";
import { asError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { logger } from "../log.ts";
import { socketDirs } from "../discovery/registry-files.ts";
import { Membership } from "../discovery/membership.ts";
import { LocalPortal, RemotePortal } from "../rpc/portal.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { type Address, rankAddresses, type Transport } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { sweepSockets } from "../transport/dead-sockets.ts";
import { bindFresh, hostsOf, reachableHost } from "./bind.ts";
import { enableModules, moduleSpecifier, refuseUnguarded } from "./modules.ts";
import { readRootOptions, type RootOptions, withUsableTransports } from "./root-options.ts";
import { treeSettings } from "./settings.ts";
import { endOnSignals } from "./signals.ts";

const log = logger("tree");

/** How long a boot may take, unless `timeout` says otherwise. */
const bootTimeoutMs = 30_000;

/**
 * Boots the actor of this process as the root of a tree.
 *
 * If a registrar answers at the registry addresses, the actor joins it; if nothing listens at any of them, it becomes
 * the registrar.
 *
 * @throws {RuntimeExistsError} when this process already has an actor or a client
 * @throws {AddressError | ActorNameError | LimitError | TypeError} when an option is malformed, or an address can't be
 *   bound
 * @throws {RegistryOccupiedError} when no registrar answers and something else does; nothing is bound
 * @throws {NameTakenError} when the name belongs to an actor that was started with `unique`
 * @throws {RegistryExistsError} with `ensureRegistry`, when another registrar answers
 * @throws {RegistryUnavailableError} when the registrar rejects the registration, serves none of the registry
 *   addresses, or exists but doesn't answer before `timeout` or `signal` ends the wait (`cause` says which); nothing
 *   is bound
 * @throws {TimeoutError} with stage "wait" when the boot times out for another reason
 * @throws {SpawnError} when an enabled module can't be loaded
 */
export async function openRootActor(options: RootOptions = {}): Promise<Actor> {
  return await bootRoot(options);
}

/** As `openRootActor`, for the runtime's own parts. */
export async function bootRoot(options: RootOptions): Promise<Runtime> {
  const { signal } = options;
  refuseUnguarded("boot an actor");
  signal?.throwIfAborted();
  const timeout = options.timeout ?? bootTimeoutMs;
  const deadline = new Deadline({ timeout, signal }, "boot of", options.name ?? "root");
  // other systems must not await anything before this process is reserved for the actor
  const usable = process.platform === "darwin" ? await withUsableTransports(options) : options;
  const { name, version, metadata, limits, transports, registryAddrs, bindAddrs, security } =
    readRootOptions(usable);
  reserveRuntime();
  const id: ActorId = { name, uuid: crypto.randomUUID(), pid: process.pid, host: hostId() };
  const runtime = new Runtime(id, limits, true, { security, version, metadata });
  runtime.dispatcher.builtIns = () =>
    (require("./built-ins.ts") as typeof import("./built-ins.ts")).builtIns(runtime);
  const membership = new Membership(runtime, registryAddrs);
  const { registrars } = membership;
  const onExit = (): void => {
    runtime.listeners.close();
    membership.release();
  };
  process.on("exit", onExit);
  try {
    sweep(transports, registryAddrs);
    const modules = (options.enableModules ?? []).map(moduleSpecifier);
    await deadline.race("wait", enableModules(runtime, modules, signal));
    const { ensureRegistry = false } = options;
    let tcpHost: string | undefined;
    await membership.settle({ ensureRegistry, bindAddrs, deadline }, async (hosts) => {
      tcpHost = reachableHost(hosts);
      await bindFresh(runtime, transports, bindAddrs, tcpHost);
    });
    if (registrars.isRegistrar || tcpHost === undefined)
      tcpHost = reachableHost(hostsOf(registrars.registryAddrs));
    signal?.throwIfAborted();
    runtime.becomeReady();
    const { callTimeoutMs, output } = options;
    // children get it as JSON, which has no Infinity
    if (callTimeoutMs !== undefined && Number.isFinite(callTimeoutMs) && callTimeoutMs > 0)
      runtime.callTimeoutMs = callTimeoutMs;
    treeSettings.set(runtime, {
      root: { name, uuid: id.uuid, addrs: runtime.addrs },
      transports,
      tcpHost,
      limits,
      security: withAbsolutePaths(options.security ?? {}),
      ...(runtime.callTimeoutMs !== undefined && { callTimeoutMs: runtime.callTimeoutMs }),
      ...(output !== undefined && { output }),
    });
  } catch (error) {
    await runtime.cancel();
    process.off("exit", onExit);
    setRuntime(undefined);
    throw error;
  }
  setRuntime(runtime);
  const { handleSignals = true } = options;
  const stopSignals = handleSignals === false ? () => {} : endOnSignals(runtime, handleSignals === "drain");
  const onAbort = (): void => void runtime.cancel(asError(signal?.reason));
  signal?.addEventListener("abort", onAbort, { once: true });
  runtime.ending.onEnded(() => {
    signal?.removeEventListener("abort", onAbort);
    process.off("exit", onExit);
    stopSignals();
    setRuntime(undefined);
  });
  return runtime;
}

/** Removes what dead processes left behind when no registrar was there to clean up. */
function sweep(transports: readonly Transport[], registryAddrs: readonly Address[]): void {
  if (!transports.includes("unix")) return;
  for (const dir of socketDirs(registryAddrs)) {
    try {
      sweepSockets(dir);
    } catch (error) {
      log.warn?.(`cannot sweep ${dir}: ${String(error)}`);
    }
  }
}

/**
 * Returns a portal to the root actor of this tree; in the root itself, a local one.
 *
 * @throws {NoRuntimeError} when this process has no actor
 * @throws {TransportClosedError} when the root is gone
 */
export async function getRoot<M = unknown>(): Promise<Portal<M>> {
  const runtime = actorRuntime();
  if (runtime.isRoot) return new LocalPortal<M>(runtime);
  const { root } = treeSettings.of(runtime);
  const target = { ...root, addrs: rankAddresses(root.addrs) };
  const peer = await outsideTasks(() => runtime.peers.connect(target, new Deadline({}, "getRoot")));
  return new RemotePortal<M>(peer.handler);
}
