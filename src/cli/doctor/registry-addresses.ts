/** Who is at the registry addresses, and what keeps it from answering as the registrar. */
import { RefusedError } from "../../channel/handshake.ts";
import { Runtime } from "../../actor/runtime.ts";
import type { ActorSecurity } from "../../actor/security.ts";
import { describeHolder, type Outcome, probeRegistry } from "../../discovery/probe.ts";
import { describeActor } from "../../identity.ts";
import { defaultLimits, type Limits } from "../../limits.ts";
import { type Address, type ParsedAddress, parseAddress } from "../../transport/address.ts";
import { hostId, isLoopback, isWildcard } from "../../transport/host.ts";
import { type Finding, howToResume } from "./finding.ts";
import { activityOf, commandOf, listenerAt } from "./processes.ts";

/** One registry address. */
export interface ExaminedAddress {
  readonly addr: Address;
  /** registrar: it answers. absent: nothing listens there. Anything else comes with a finding. */
  readonly state: Outcome["kind"];
  /** Who answers, or holds the address: "hub#1b2c3d4e"; null if that isn't known. */
  readonly holder: string | null;
  readonly pid: number | null;
  /** How long the answer took, or how long it was waited for. */
  readonly ms: number;
}

export interface ExaminedAddresses {
  readonly addresses: readonly ExaminedAddress[];
  readonly findings: readonly Finding[];
}

/** Dials all addresses side by side, each for at most three times `probeTimeoutMs`; connects for no longer than that. */
export async function examineAddresses(
  addrs: readonly Address[],
  security: ActorSecurity,
  signal?: AbortSignal,
  limits: Limits = defaultLimits,
): Promise<ExaminedAddresses> {
  const id = { name: "doctor", uuid: crypto.randomUUID(), pid: process.pid, host: hostId() };
  const runtime = new Runtime(id, limits, false, { security, isClient: true });
  try {
    const examined = await Promise.all(addrs.map((addr) => examine(runtime, addr, signal)));
    const addresses = examined.map(({ address }) => address);
    const findings = examined.flatMap(({ finding }) => finding ?? []);
    return { addresses, findings: [...findings, ...absences(addresses)] };
  } finally {
    await runtime.cancel();
  }
}

interface Examined {
  readonly address: ExaminedAddress;
  readonly finding: Finding | undefined;
}

async function examine(runtime: Runtime, addr: Address, signal: AbortSignal | undefined): Promise<Examined> {
  const since = performance.now();
  // as if it had been silent: then it is asked over a connection of its own, which is closed at once
  const outcome = await probeRegistry(runtime, addr, () => false, true, signal);
  const ms = Math.round(performance.now() - since);
  const pid = pidOf(outcome);
  const holder = holderOf(outcome);
  const address = { addr, state: outcome.kind, holder: holder ?? null, pid: pid ?? null, ms };
  return { address, finding: await faultOf(outcome, pid, signal) };
}

/** Addresses where nothing listens, if that explains why there is no registrar; one alone may be on its way. */
function absences(addresses: readonly ExaminedAddress[]): Finding[] {
  const absent = addresses.filter(({ state }) => state === "absent");
  if (absent.length === 0) return [];
  const isAlone = absent.length === addresses.length;
  return [
    {
      code: "no-registrar",
      level: isAlone ? "error" : "warning",
      what: isAlone ? "there is no registrar" : "no registrar serves this address",
      which: absent.map(({ addr }) => addr).join(", "),
      whatToDo: isAlone
        ? "start a program that opens a root actor, or furrow registrar"
        : "list the same registry addresses in all programs, or leave this one out",
    },
  ];
}

/** By the kernel, if it says: in a lock, a process of another pid namespace gives the pid that it has there. */
function pidOf(outcome: Outcome): number | undefined {
  if (outcome.kind === "absent") return undefined;
  const parsed = parseAddress(outcome.addr);
  const listener = isHere(parsed) ? listenerAt(parsed) : undefined;
  if (listener !== undefined) return listener;
  return outcome.kind === "busy" || outcome.kind === "elsewhere" ? outcome.holder?.pid : undefined;
}

function isHere(parsed: ParsedAddress): boolean {
  return parsed.transport === "unix" || isLoopback(parsed.host) || isWildcard(parsed.host);
}

function holderOf(outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case "registrar":
      return describeActor(outcome.registrar);
    case "busy":
    case "elsewhere":
      return outcome.holder && describeActor(outcome.holder);
    default:
      return undefined;
  }
}

async function faultOf(
  outcome: Outcome,
  pid: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Finding | undefined> {
  switch (outcome.kind) {
    case "registrar":
    case "absent":
      return undefined;
    case "busy":
      return await silence(outcome, pid, signal);
    case "elsewhere":
      return {
        code: "registry-elsewhere",
        level: "warning",
        what: `the registrar ${describeHolder(outcome.holder)} serves ${outcome.holder.addrs.join(", ")} only`,
        which: outcome.addr,
        whatToDo: "enable the same transports in all programs, and list the same registry addresses",
      };
    case "unauthenticated":
      return {
        code: "registry-refused",
        level: "error",
        what: `it and this process don't take each other's proof of identity: ${outcome.error.message}`,
        which: at(outcome.addr, pid),
        whatToDo:
          "give both the same secret (FURROW_SECRET_FILE) or certificates of one authority, and run both as one user",
      };
    case "occupied":
      return await occupation(outcome, pid, signal);
  }
}

/** A furrow registrar that doesn't answer. */
async function silence(
  { addr, holder, error }: Extract<Outcome, { kind: "busy" }>,
  pid: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Finding> {
  const who = holder === undefined ? "the registrar" : `the registrar ${describeActor(holder)}`;
  const which = at(addr, pid);
  const activity = pid === undefined ? "unknown" : await activityOf(pid, signal);
  switch (activity) {
    case "frozen":
      return {
        code: "registry-frozen",
        level: "error",
        what: `${who} is stopped (state T)`,
        which,
        whatToDo: howToResume(pid),
      };
    case "busy":
      return {
        code: "registry-busy",
        level: "error",
        what: `${who} computes without a break, and so answers no one`,
        which,
        whatToDo: `wait for it, or end it with kill ${pid}; furrow registrar runs one that no program's work can block`,
      };
    default:
      return {
        code: "registry-silent",
        level: "error",
        what: `${who} doesn't answer${activity === "blocked" ? ": it waits for a disk (state D)" : ""}`,
        which,
        whatToDo:
          pid === undefined
            ? error.message
            : `see what it waits for; kill ${pid} ends it, and another root takes over`,
      };
  }
}

/** Something that isn't a registrar of ours, or can't be told to be one. */
async function occupation(
  { addr, error }: Extract<Outcome, { kind: "occupied" }>,
  pid: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Finding> {
  const which = at(addr, pid);
  if (error instanceof RefusedError && error.refusal === "version")
    return {
      code: "registry-refused",
      level: "error",
      what: `it speaks another version of the protocol: ${error.message}`,
      which,
      whatToDo: "use one version of furrow in all programs",
    };
  if (pid !== undefined && (await activityOf(pid, signal)) === "frozen")
    return {
      code: "registry-frozen",
      level: "error",
      what: "the process that listens there is stopped (state T)",
      which,
      whatToDo: howToResume(pid),
    };
  const end = pid === undefined ? "end what listens there" : `end it (kill ${pid})`;
  return {
    code: "registry-occupied",
    level: "error",
    what: `something other than a registrar listens there: ${error.message}`,
    which,
    whatToDo: `${end}, or choose another address with --registry or FURROW_REGISTRY_ADDRS`,
  };
}

function at(addr: Address, pid: number | undefined): string {
  if (pid === undefined) return addr;
  const command = commandOf(pid);
  return `${addr}, pid ${pid}${command === undefined ? "" : ` (${command})`}`;
}
