/** The root of a tree: probes the registry, joins or becomes it, listens, and answers signals. */
import { writeSync } from "node:fs";
import { join } from "node:path";

import type { Actor } from "../actor/actor.ts";
import { currentRuntime, reserveRuntime, setRuntime } from "../actor/current.ts";
import { Runtime } from "../actor/runtime.ts";
import { readSecurity, type Security, withAbsolutePaths } from "../actor/security.ts";
import { checkExposure, type Credentials } from "../channel/credentials.ts";
import { Deadline } from "../deadline.ts";
import { AddressError, asError, ContextCancelledError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { fitToDescriptors, type Limits, resolveLimits } from "../limits.ts";
import { logger } from "../log.ts";
import { socketDirs } from "../discovery/places.ts";
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
import { runtimeDir } from "../transport/runtime-dir.ts";
import { sweepSockets } from "../transport/socket-lock.ts";
import { checkActorName } from "../wire/actor-name.ts";
import {
  bindFresh,
  impliedTransports,
  readAddressOption,
  readRegistryAddrs,
  registryAddrsOfEnvironment,
} from "./boot.ts";
import { enableModules, moduleSpecifier, refuseUnguarded } from "./modules.ts";
import { treeSettings } from "./settings.ts";

const log = logger("tree");

/** How long a boot may take when `timeout` does not say. */
const bootTimeoutMs = 30_000;

export interface RootOptions {
  /** Default "root". */
  readonly name?: string;
  /** Where registrars are looked for; default `$FURROW_REGISTRY_ADDRS`, else port 1616 on this host. */
  readonly registryAddrs?: readonly AddressInput[];
  /** True: the boot fails unless this actor becomes the registrar. */
  readonly ensureRegistry?: boolean;
  /**
   * The actor listens on each; so do its children. Default: unix, and tcp where `registryAddrs`, `bindAddrs` or
   * `$FURROW_REGISTRY_ADDRS` has a tcp address.
   */
  readonly enableTransports?: readonly Transport[];
  /** Where to listen; a registrar listens at the registry addresses too. Default: one fresh address per transport. */
  readonly bindAddrs?: readonly AddressInput[];
  /** Modules whose exported functions peers may call. */
  readonly enableModules?: readonly (string | URL)[];
  /** Inherited by children. */
  readonly limits?: Partial<Limits>;
  /** What actors prove themselves with, and what peers may do. Inherited by children. */
  readonly security?: Security;
  /** Default true: SIGINT, SIGTERM and SIGHUP cancel the tree, then exit with 128 + the signal's number. */
  readonly handleSignals?: boolean;
  /** Aborts the boot; later cancels the actor. */
  readonly signal?: AbortSignal;
  /** Milliseconds for the boot; default 30,000. A registrar that is there and does not answer is waited for as long. */
  readonly timeout?: number;
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
 * @throws {RegistryUnavailableError} when the registrar does not take the registration, serves none of the registry
 *   addresses, or is there and does not answer until `timeout` or `signal` ends the wait (`cause`: which); nothing is bound
 * @throws {TimeoutError} with stage "wait" when the boot takes longer for another reason
 * @throws {SpawnError} when an enabled module cannot be loaded
 */
export async function openRootActor(options: RootOptions = {}): Promise<Actor> {
  return await bootRoot(options);
}

/** As `openRootActor`, for the runtime's own parts. */
export async function bootRoot(options: RootOptions): Promise<Runtime> {
  const { name = "root", signal } = options;
  refuseUnguarded("boot an actor");
  signal?.throwIfAborted();
  const deadline = new Deadline({ timeout: options.timeout ?? bootTimeoutMs, signal }, "boot of", name);
  checkActorName(name);
  const limits = fitToDescriptors(resolveLimits(options.limits), maxDescriptors());
  const { registryAddrs: givenRegistry = registryAddrsOfEnvironment(), bindAddrs: givenBind = [] } = options;
  const asked = readTransports(
    options.enableTransports ?? impliedTransports([...givenRegistry, ...givenBind]),
  );
  // elsewhere nothing may be awaited before this process is reserved for the actor
  const transports =
    process.platform === "darwin"
      ? await usableTransports(asked, options.enableTransports !== undefined)
      : asked;
  const registryAddrs = readRegistryAddrs(options.registryAddrs, transports);
  const bindAddrs = readAddressOption("bindAddrs", givenBind, transports);
  const security = readSecurity(options.security);
  checkExposed([...registryAddrs, ...bindAddrs], security.credentials);
  // a secret that can't be read is better known before anything listens
  if (transports.includes("tcp") && security.credentials.tls === undefined) void security.credentials.secret;
  reserveRuntime();
  const id: ActorId = { name, uuid: crypto.randomUUID(), pid: process.pid, host: hostId() };
  const runtime = new Runtime(id, limits, true, { security });
  const registries = new Registries(runtime, registryAddrs);
  const onExit = (): void => {
    runtime.listeners.close();
    registries.release();
  };
  process.on("exit", onExit);
  try {
    sweep(transports, registryAddrs);
    const modules = (options.enableModules ?? []).map(moduleSpecifier);
    await deadline.race("wait", enableModules(runtime, modules, signal));
    const { ensureRegistry = false } = options;
    let tcpHost: string | undefined;
    await registries.settle({ ensureRegistry, bindAddrs, deadline }, async (hosts) => {
      tcpHost = reachableHost(hosts);
      await bindFresh(runtime, transports, bindAddrs, tcpHost);
    });
    if (registries.isRegistrar || tcpHost === undefined)
      tcpHost = reachableHost(hostsOf(registries.registryAddrs));
    signal?.throwIfAborted();
    runtime.becomeReady();
    treeSettings.set(runtime, {
      root: { name, uuid: id.uuid, addrs: runtime.addrs },
      transports,
      tcpHost,
      limits,
      security: withAbsolutePaths(options.security ?? {}),
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
  runtime.ending.onEnded(() => {
    signal?.removeEventListener("abort", onAbort);
    process.off("exit", onExit);
    stopSignals();
    setRuntime(undefined);
  });
  return runtime;
}

/**
 * The transports, but for unix where the system's sockets don't work: tcp with the secret stands in for those that were
 * not asked for.
 *
 * @throws {AddressError} when they were
 */
async function usableTransports(
  transports: readonly Transport[],
  wereAsked: boolean,
): Promise<readonly Transport[]> {
  if (!transports.includes("unix")) return transports;
  const { unixSocketFault } = await import("../transport/self-test.ts");
  const fault = await unixSocketFault(join(runtimeDir(), `try@${process.pid}.sock`));
  if (fault === undefined) return transports;
  const text = `unix sockets don't work on this system (${fault.message}; oven-sh/bun #41381)`;
  if (wereAsked) throw new AddressError(`${text}: set enableTransports to ["tcp"]`, { cause: fault });
  log.warn?.(`${text}: using tcp with the secret instead`);
  return ["tcp"];
}

/** @throws {AddressError} when other machines could reach one of them, and there is no TLS */
function checkExposed(addrs: readonly Address[], credentials: Pick<Credentials, "tls">): void {
  for (const addr of addrs) {
    const parsed = parseAddress(addr);
    if (parsed.transport === "tcp") checkExposure(addr, parsed.host, credentials);
  }
}

function hostsOf(addrs: readonly Address[]): string[] {
  return addrs.map(parseAddress).flatMap((parsed) => (parsed.transport === "tcp" ? [parsed.host] : []));
}

/** The first that is an address of this machine in a network; loopback when there is none. */
function reachableHost(hosts: readonly string[]): string {
  return (
    hosts.find((host) => host !== "" && !isLoopback(host) && !isWildcard(host) && ipVersion(host) !== 0) ??
    "127.0.0.1"
  );
}

/** What dead processes left that had no registrar to clean up. */
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

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Cancels the tree on the first signal and exits; a second one exits at once. Returns how to stop listening. */
function handleSignals(runtime: Runtime): () => void {
  let received = false;
  const listeners = Object.entries(signalNumbers).map(([signal, number]) => {
    const listener = (): void => {
      if (received) process.exit(128 + number);
      received = true;
      say(`furrow: ${signal}: cancelling actor "${runtime.name}" (pid ${process.pid})\n`);
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

/** Writes to stderr as far as that goes: after SIGHUP there may be no terminal any more. */
function say(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // there is no other place to say it
  }
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
  const { root } = treeSettings.of(runtime);
  const target = { ...root, addrs: rankAddresses(root.addrs) };
  const peer = await outsideTasks(() => runtime.peers.connect(target, new Deadline({}, "getRoot")));
  return new RemotePortal<M>(peer.handler);
}
