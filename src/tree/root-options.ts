/** The options of a root actor, read and checked before anything is bound. */
import type { Metadata } from "../actor/details.ts";
import { type ActorSecurity, readSecurity, type Security } from "../actor/security.ts";
import { checkExposure, type Credentials } from "../channel/credentials.ts";
import { AddressError } from "../errors.ts";
import { fitToDescriptors, type Limits, resolveLimits } from "../limits.ts";
import { logger } from "../log.ts";
import {
  type Address,
  type AddressInput,
  normalizeAddress,
  parseAddress,
  readTransports,
  type Transport,
} from "../transport/address.ts";
import { maxDescriptors } from "../transport/descriptors.ts";
import { pathIn } from "../transport/paths.ts";
import { runtimeDir } from "../transport/runtime-dir.ts";
import { registrySocketPath } from "../transport/socket-paths.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { checkCallTimeout, checkOutput, type OutputMode } from "./settings.ts";
import { describedBy } from "./start-options.ts";

const log = logger("tree");

export interface RootOptions {
  /** Default "root". */
  readonly name?: string;
  /** Where to look for registrars; default `$FURROW_REGISTRY_ADDRS`, else port 1616 on this host. */
  readonly registryAddrs?: readonly AddressInput[];
  /** If true, the boot fails unless this actor becomes the registrar. */
  readonly ensureRegistry?: boolean;
  /**
   * The transports that the actor and its children listen on. Default: unix, plus tcp if `registryAddrs`, `bindAddrs`
   * or `$FURROW_REGISTRY_ADDRS` has a tcp address.
   */
  readonly enableTransports?: readonly Transport[];
  /** Where to listen; a registrar also listens at the registry addresses. Default: one fresh address per transport. */
  readonly bindAddrs?: readonly AddressInput[];
  /** Modules whose exported functions peers may call. */
  readonly enableModules?: readonly (string | URL)[];
  /** The version to register with, 1 to 255 bytes without control characters; see `Registration`. */
  readonly version?: string;
  /** What to register with; see `Actor.setMetadata`. */
  readonly metadata?: Metadata;
  /** Inherited by children. */
  readonly limits?: Partial<Limits>;
  /** How actors prove their identity, and what peers may do. Inherited by children. */
  readonly security?: Security;
  /**
   * Default true: SIGINT, SIGTERM and SIGHUP cancel the tree, then exit with 128 + the signal's number. With "drain",
   * SIGTERM drains the tree first, for at most 30 seconds; another signal cuts that short.
   */
  readonly handleSignals?: boolean | "drain";
  /**
   * The default timeout, in ms, of calls (`portal.run`) that actors of this tree make, where neither `portal.with` nor
   * `startActor` sets another. Default: none; so are 0 and Infinity. Streams and dialogs aren't affected, nor are the
   * functions of a registrar.
   */
  readonly callTimeoutMs?: number;
  /**
   * What to do with the output of the actors of this tree that `startActor` gives no `output`: see there. With `"keep"`, each
   * actor keeps that of its own children. Default: pass it on.
   */
  readonly output?: OutputMode;
  /** Aborts the boot; later cancels the actor. */
  readonly signal?: AbortSignal;
  /** Milliseconds for the boot, including the wait for a registrar that doesn't answer; default 30,000. */
  readonly timeout?: number;
}

/** The resolved options. */
export interface RootPlan {
  readonly name: string;
  readonly version: string | null;
  readonly metadata: Metadata;
  readonly limits: Limits;
  readonly transports: readonly Transport[];
  readonly registryAddrs: readonly Address[];
  readonly bindAddrs: readonly Address[];
  readonly security: ActorSecurity;
}

/**
 * @throws {AddressError | ActorNameError | LimitError | TypeError | UnauthenticatedError} when one is malformed or can't be used
 */
export function readRootOptions(options: RootOptions): RootPlan {
  const { name = "root", bindAddrs: givenBind = [] } = options;
  checkActorName(name);
  checkCallTimeout(options.callTimeoutMs);
  checkOutput(options.output);
  const limits = fitToDescriptors(resolveLimits(options.limits), maxDescriptors());
  const described = describedBy(options, limits);
  const transports = readTransports(options.enableTransports ?? impliedTransports(options));
  const registryAddrs = readRegistryAddrs(options.registryAddrs, transports);
  const bindAddrs = readAddressOption("bindAddrs", givenBind, transports);
  const security = readSecurity(options.security);
  checkExposed([...registryAddrs, ...bindAddrs], security.credentials);
  // fail before anything listens if the secret can't be read
  if (transports.includes("tcp") && security.credentials.tls === undefined) void security.credentials.secret;
  return { name, ...described, limits, transports, registryAddrs, bindAddrs, security };
}

/**
 * The options, changed to use tcp with the secret if unix sockets don't work on this system and weren't requested.
 * Needed only on macOS.
 *
 * @throws {AddressError} when they don't work but `enableTransports` includes them
 */
export async function withUsableTransports(options: RootOptions): Promise<RootOptions> {
  const transports = options.enableTransports ?? impliedTransports(options);
  if (!transports.includes("unix")) return options;
  const { unixSocketFault } = await import("../transport/self-test.ts");
  const fault = await unixSocketFault(pathIn(runtimeDir(), `try@${process.pid}.sock`));
  if (fault === undefined) return options;
  const text = `unix sockets don't work on this system (${fault.message}; oven-sh/bun #41381)`;
  if (options.enableTransports !== undefined)
    throw new AddressError(`${text}: set enableTransports to ["tcp"]`, { cause: fault });
  log.warn?.(`${text}: using tcp with the secret instead`);
  return { ...options, enableTransports: ["tcp"] };
}

const defaultRegistryPort = 1616;

/**
 * The transports that a root enables by default: unix, where the kernel identifies the peer, and those of the addresses
 * that it was given.
 *
 * @throws {AddressError} when an address is malformed
 */
export function impliedTransports({
  registryAddrs,
  bindAddrs = [],
}: Pick<RootOptions, "registryAddrs" | "bindAddrs">): readonly Transport[] {
  const given = [...(registryAddrs ?? registryAddrsOfEnvironment()), ...bindAddrs];
  return Array.from(new Set(["unix" as const, ...given.map((addr) => parseAddress(addr).transport)]));
}

/** The addresses of `$FURROW_REGISTRY_ADDRS`. */
export function registryAddrsOfEnvironment(): readonly AddressInput[] {
  const listed = (process.env["FURROW_REGISTRY_ADDRS"] ?? "").split(",").map((part) => part.trim());
  return listed.filter((part) => part !== "") as AddressInput[];
}

/**
 * The addresses of an option as URLs, without duplicates.
 *
 * @throws {AddressError} when one is malformed, or belongs to a transport that isn't enabled
 */
export function readAddressOption(
  option: string,
  inputs: readonly AddressInput[],
  transports: readonly Transport[],
): readonly Address[] {
  return Array.from(new Set(inputs.map(normalizeAddress)), (addr) => {
    const { transport } = parseAddress(addr);
    if (transports.includes(transport)) return addr;
    throw new AddressError(
      `${option} has ${addr}, but enableTransports is ${JSON.stringify(transports)}: enable ${transport}, or drop the address`,
    );
  });
}

/** The registry addresses: the option, else `$FURROW_REGISTRY_ADDRS`, else port 1616 on each enabled transport. */
export function readRegistryAddrs(
  option: readonly AddressInput[] | undefined,
  transports: readonly Transport[],
): readonly Address[] {
  if (option !== undefined) {
    if (option.length === 0)
      throw new AddressError("registryAddrs must not be empty: leave it out to use the defaults");
    return readAddressOption("registryAddrs", option, transports);
  }
  const fromEnv = registryAddrsOfEnvironment();
  if (fromEnv.length > 0) return readAddressOption("FURROW_REGISTRY_ADDRS", fromEnv, transports);
  return transports.map((transport): Address =>
    transport === "tcp"
      ? `tcp://127.0.0.1:${defaultRegistryPort}`
      : `unix://${registrySocketPath(runtimeDir(), defaultRegistryPort)}`,
  );
}

/** @throws {AddressError} when other machines could reach one of the addresses and there is no TLS */
export function checkExposed(addrs: readonly Address[], credentials: Pick<Credentials, "tls">): void {
  for (const addr of addrs) {
    const parsed = parseAddress(addr);
    if (parsed.transport === "tcp") checkExposure(addr, parsed.host, credentials);
  }
}
