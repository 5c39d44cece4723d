/** The root of a tree: probes the registry, joins or becomes it, listens, and answers signals. */
import { dirname } from "node:path";

import type { Actor } from "../actor/actor.ts";
import { currentRuntime, reserveRuntime, setRuntime } from "../actor/current.ts";
import { Runtime } from "../actor/runtime.ts";
import { Deadline, sleep } from "../deadline.ts";
import {
  AddressError,
  asError,
  ContextCancelledError,
  RegistryExistsError,
  RegistryUnavailableError,
  systemCode,
} from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { fitToDescriptors, type Limits, resolveLimits } from "../limits.ts";
import { logger } from "../log.ts";
import { bindRegistry, probeRegistries, refuseOccupied } from "../discovery/bootstrap.ts";
import { Registries } from "../discovery/registries.ts";
import { LocalPortal, RemotePortal } from "../rpc/portal.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import {
  type Address,
  type AddressInput,
  parseAddress,
  rankAddresses,
  type Transport,
  readTransports,
} from "../transport/address.ts";
import { maxDescriptors } from "../transport/descriptors.ts";
import { hostId, ipVersion, isLoopback, isWildcard } from "../transport/host.ts";
import { hasLiveSockets, runtimeDir, sweepSockets } from "../transport/runtime-dir.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { bindFresh, enableModules, moduleSpecifier, readAddressOption, readRegistryAddrs } from "./boot.ts";
import { setTreeSettings, treeSettings } from "./settings.ts";

const log = logger("tree");

/** How often a boot looks again after another program was faster at binding the registry. */
const electionTries = 10;
const electionBackoffMs = 20;

export interface RootOptions {
  /** Default "root". */
  readonly name?: string;
  /** Where registrars are looked for; default `$FURROW_REGISTRY_ADDRS`, else port 1616 on this host. */
  readonly registryAddrs?: readonly AddressInput[];
  /** True: the boot fails unless this actor becomes the registrar. */
  readonly ensureRegistry?: boolean;
  /** Default `["unix", "tcp"]`; the actor listens on each. */
  readonly enableTransports?: readonly Transport[];
  /** Where to listen; a registrar listens at the registry addresses too. Default: one fresh address per transport. */
  readonly bindAddrs?: readonly AddressInput[];
  /** Modules whose exported functions peers may call. */
  readonly enableModules?: readonly (string | URL)[];
  /** Inherited by children. */
  readonly limits?: Partial<Limits>;
  /** Default true: SIGINT and SIGTERM cancel the tree, then exit with 128 + the signal's number. */
  readonly handleSignals?: boolean;
  /** Aborts the boot; later cancels the actor. */
  readonly signal?: AbortSignal;
}

/**
 * Boots the actor of this process as the root of a tree.
 *
 * It joins the registrar that answers at the registry addresses, or becomes it when all of them are absent.
 *
 * @throws {RuntimeExistsError} when this process has an actor
 * @throws {AddressError | ActorNameError | LimitError} when an option is malformed, or an address cannot be bound
 * @throws {RegistryOccupiedError} when no registrar answers and something else does; nothing is bound
 * @throws {RegistryExistsError} with `ensureRegistry`, when another registrar answers
 * @throws {RegistryUnavailableError} when the registrar does not take the registration
 * @throws {SpawnError} when an enabled module cannot be loaded
 */
export async function openRootActor(options: RootOptions = {}): Promise<Actor> {
  return await bootRoot(options);
}

/** As `openRootActor`, for the runtime's own parts. */
export async function bootRoot(options: RootOptions): Promise<Runtime> {
  const { name = "root", signal } = options;
  signal?.throwIfAborted();
  checkActorName(name);
  const limits = fitToDescriptors(resolveLimits(options.limits), maxDescriptors());
  const transports = readTransports(options.enableTransports);
  const registryAddrs = readRegistryAddrs(options.registryAddrs, transports);
  const bindAddrs = readAddressOption("bindAddrs", options.bindAddrs ?? [], transports);
  reserveRuntime();
  const id: ActorId = { name, uuid: crypto.randomUUID(), pid: process.pid, host: hostId() };
  const runtime = new Runtime(id, limits, true);
  const registries = new Registries(runtime, registryAddrs);
  const onExit = (): void => runtime.unlisten();
  process.on("exit", onExit);
  try {
    sweepRuntimeDir(transports, registryAddrs);
    await enableModules(runtime, (options.enableModules ?? []).map(moduleSpecifier), signal);
    const tcpHost = await settleRegistry(registries, options, transports, bindAddrs);
    signal?.throwIfAborted();
    runtime.becomeReady();
    setTreeSettings(runtime, {
      root: { name, uuid: id.uuid, addrs: runtime.addrs },
      transports,
      tcpHost,
      limits,
    });
  } catch (error) {
    await runtime.cancel();
    process.off("exit", onExit);
    setRuntime(undefined);
    throw error;
  }
  setRuntime(runtime);
  const stopSignals = options.handleSignals === false ? () => {} : handleSignals(runtime);
  const onAbort = (): void => void runtime.cancel(asError(signal?.reason));
  signal?.addEventListener("abort", onAbort, { once: true });
  runtime.onEnded(() => {
    signal?.removeEventListener("abort", onAbort);
    process.off("exit", onExit);
    stopSignals();
    setRuntime(undefined);
  });
  return runtime;
}

/**
 * Joins the registrar, or becomes it, however many programs try at the same time. Returns the host of this machine that
 * others in the same network as the registrar can reach.
 */
async function settleRegistry(
  registries: Registries,
  options: RootOptions,
  transports: readonly Transport[],
  bindAddrs: readonly Address[],
): Promise<string> {
  const { runtime } = registries;
  for (let attempt = 1; ; attempt++) {
    const outcomes = await probeRegistries(runtime, registries.registryAddrs, options.signal);
    const found = outcomes.find((outcome) => outcome.kind === "registrar");
    if (found !== undefined) {
      if (options.ensureRegistry) {
        throw new RegistryExistsError(
          `ensureRegistry: registrar ${describeActor(found.id)} serves ${found.addr} already`,
        );
      }
      const tcpHost = reachableHost(
        outcomes.map((outcome) => (outcome.kind === "registrar" ? outcome.localHost : "")),
      );
      // listening comes first: the handshake and the registration carry the addresses
      await bindFresh(runtime, transports, bindAddrs, tcpHost);
      try {
        await registries.join(outcomes);
        return tcpHost;
      } catch (error) {
        if (!(error instanceof RegistryUnavailableError) || attempt === electionTries) throw error;
        // it ended under the registration: look again who is there
        runtime.unlisten();
        await sleep(electionBackoffMs * (0.5 + Math.random()), options.signal);
        continue;
      }
    }
    refuseOccupied(outcomes);
    // with others about, a registrar that is gone may have left actors that are looking for the next one
    registries.serve(transports.includes("unix") && hasLiveSockets(runtimeDir()));
    if (await bindAsRegistrar(registries, bindAddrs)) {
      return reachableHost(
        registries.registryAddrs
          .map(parseAddress)
          .map((parsed) => (parsed.transport === "tcp" ? parsed.host : "")),
      );
    }
    registries.unserve();
    if (attempt === electionTries) {
      throw new RegistryUnavailableError(
        `registry addresses ${registries.registryAddrs.join(", ")} are taken, and nobody answers there`,
      );
    }
    await sleep(electionBackoffMs * attempt * (0.5 + Math.random()), options.signal);
  }
}

async function bindAsRegistrar(registries: Registries, bindAddrs: readonly Address[]): Promise<boolean> {
  const { runtime, registryAddrs } = registries;
  try {
    if (!(await bindRegistry(runtime, registryAddrs))) return false;
  } catch (error) {
    if (!(error instanceof AddressError) || systemCode(error.cause) !== "EADDRNOTAVAIL") throw error;
    throw new RegistryUnavailableError(
      `no registrar answers at ${registryAddrs.join(", ")}, and this host cannot serve there: ${error.message}`,
      { cause: error },
    );
  }
  for (const addr of bindAddrs) if (!registryAddrs.includes(addr)) await runtime.listen(addr);
  registries.registerSelf();
  return true;
}

/** The first that is an address of this machine in a network; loopback when there is none. */
function reachableHost(hosts: readonly string[]): string {
  return (
    hosts.find((host) => host !== "" && !isLoopback(host) && !isWildcard(host) && ipVersion(host) !== 0) ??
    "127.0.0.1"
  );
}

/** The socket files of processes that died with nobody left to sweep. */
function sweepRuntimeDir(transports: readonly Transport[], registryAddrs: readonly Address[]): void {
  if (!transports.includes("unix")) return;
  const dirs = new Set([runtimeDir()]);
  for (const addr of registryAddrs) {
    const parsed = parseAddress(addr);
    if (parsed.transport === "unix") dirs.add(dirname(parsed.path));
  }
  for (const dir of dirs) {
    try {
      sweepSockets(dir);
    } catch (error) {
      if (systemCode(error) !== "ENOENT") log.warn?.(`cannot sweep ${dir}: ${String(error)}`);
    }
  }
}

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;

/** Cancels the tree on the first signal and exits; a second one exits at once. Returns how to stop listening. */
function handleSignals(runtime: Runtime): () => void {
  let received = false;
  const listeners = Object.entries(signalNumbers).map(([signal, number]) => {
    const listener = (): void => {
      if (received) process.exit(128 + number);
      received = true;
      process.stderr.write(`furrow: ${signal}: cancelling actor "${runtime.name}" (pid ${process.pid})\n`);
      const reason = new ContextCancelledError(runtime.id, signal);
      // the handlers stay until the exit, so that a second signal is heard
      void runtime.cancel(reason).finally(() => process.exit(128 + number));
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });
  return () => {
    if (received) return;
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/**
 * A portal to the root actor of this tree; a local one in the root itself.
 *
 * @throws {NoRuntimeError} when this process has no actor
 * @throws {TransportClosedError} when the root is gone
 */
export async function getRoot<M = unknown>(): Promise<Portal<M>> {
  const runtime = currentRuntime();
  if (runtime.isRoot) return new LocalPortal<M>(runtime);
  const { root } = treeSettings(runtime);
  const target = { ...root, addrs: rankAddresses(root.addrs) };
  const peer = await outsideTasks(() => runtime.peers.connect(target, new Deadline({}, "getRoot")));
  return new RemotePortal<M>(peer.handler);
}
