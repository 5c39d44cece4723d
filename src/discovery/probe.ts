/**
 * Who serves a registry address? What its lock says comes first: a dead owner needs no dial, and a live one that does
 * not answer is a busy registrar of ours, whatever its silence looks like.
 */
import { existsSync } from "node:fs";

import type { Runtime } from "../actor/runtime.ts";
import { Deadline, sleep } from "../deadline.ts";
import {
  asError,
  causeOf,
  FrameError,
  messagesOf,
  RegistryOccupiedError,
  systemCode,
  TimeoutError,
} from "../errors.ts";
import { RefusedError } from "../channel/handshake.ts";
import { describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { isAbsent } from "../transport/dial.ts";
import { isLocked } from "../transport/flock.ts";
import { type LockHolder, readHolder } from "../transport/socket-lock.ts";
import { registryLock } from "./places.ts";

const log = logger("discovery");

const probeTries = 3;

/** How long a silent registry is waited for in all: by a probe, by a lookup that has no timeout, for a takeover. */
export function registryPatienceMs(limits: Limits): number {
  return probeTries * limits.probeTimeoutMs;
}
/** Waits between tries when a connection ends without an answer: a registrar may be ending there just now. */
const endedBackoffMs = [10, 20, 40, 80, 160, 320] as const;

/** A registrar, and addresses that lead to it. */
export interface KnownRegistrar {
  readonly name: string;
  readonly uuid: string;
  readonly addrs: readonly Address[];
}

export type Outcome =
  | {
      readonly kind: "registrar";
      readonly addr: Address;
      /** With all addresses that it listens at. */
      readonly registrar: KnownRegistrar;
      /** The address of this machine on the way there; "" over a unix socket. */
      readonly localHost: string;
      /** Lets go of the connection, if one was kept. */
      readonly release: () => void;
    }
  /** No process listens there. */
  | { readonly kind: "absent"; readonly addr: Address; readonly error: Error }
  /** A live registrar of ours holds the address, and does not answer, or is only just beginning to. */
  | {
      readonly kind: "busy";
      readonly addr: Address;
      readonly holder: LockHolder | undefined;
      readonly error: Error;
    }
  /** A registrar of ours holds the address's lock, and serves other addresses only. */
  | { readonly kind: "elsewhere"; readonly addr: Address; readonly holder: LockHolder; readonly error: Error }
  /** It does not take who we are. */
  | { readonly kind: "unauthenticated"; readonly addr: Address; readonly error: Error }
  /** Something else is there. */
  | { readonly kind: "occupied"; readonly addr: Address; readonly error: Error };

/**
 * Asks one registry address who is there. An actor that listens already connects as the peer that it is, so that a
 * registrar can be joined over the same connection. A silent address of which nothing is known is asked three times, in
 * `3 * probeTimeoutMs` in all. `isLost`: whether a registrar has just been lost, and so is most likely dead.
 * `wasSilent`: it did not answer when it was last asked; the connection of that time may still wait, so a new one asks.
 */
export async function askRegistry(
  runtime: Runtime,
  addr: Address,
  isLost: (uuid: string) => boolean,
  wasSilent: boolean,
  signal?: AbortSignal,
): Promise<Outcome> {
  const lock = lockOf(addr);
  const known = lock === undefined ? undefined : withoutAsking(addr, lock, isLost);
  if (known !== undefined) return known;
  const latest = performance.now() + registryPatienceMs(runtime.limits);
  for (let silent = 0, ended = 0; ;) {
    const timeout = Math.min(runtime.limits.probeTimeoutMs, Math.max(0, latest - performance.now()));
    const deadline = new Deadline({ timeout, signal }, `probe of ${addr}`);
    try {
      const mayConnect = runtime.addrs.length > 0 && !wasSilent && silent === 0;
      return await reach(runtime, addr, lock, mayConnect, deadline);
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = asError(thrown);
      log.debug?.(`probe of ${addr}: ${error.message}`);
      if (isUnauthenticated(error)) return { kind: "unauthenticated", addr, error };
      const isHeld = lock !== undefined && isLocked(lock);
      if (isAbsent(error)) return isHeld ? behindLock(addr, lock, error) : { kind: "absent", addr, error };
      // an answer that is not a hello is an answer
      if (isForeign(error)) return { kind: "occupied", addr, error };
      if (isHeld) return busy(addr, lock, error);
      if (error instanceof TimeoutError) {
        if (++silent < probeTries && performance.now() < latest) continue;
        const silence = error.stage === "dial" ? "does not answer" : "accepts connections but says nothing";
        const text = `${addr} ${silence} (${probeTries} tries)`;
        return { kind: "occupied", addr, error: new Error(text, { cause: error }) };
      }
      const wait = endedBackoffMs[ended++];
      if (wait === undefined || performance.now() > latest) return { kind: "occupied", addr, error };
      await sleep(wait, signal);
    }
  }
}

/** The lock of an address, or undefined where there is none, or no directory for it. */
export function lockOf(addr: Address): string | undefined {
  try {
    return registryLock(addr);
  } catch (error) {
    log.info?.(`no lock for ${addr}: ${asError(error).message}`);
    return undefined;
  }
}

/**
 * What the files say by themselves. A lost registrar's name on the lock means that the next has not come yet; that is read
 * without touching the lock, since a hundred actors that look would keep it from the one that wants to take it. Otherwise
 * a tcp address is dialled in any case: not every program has the same directory.
 */
function withoutAsking(addr: Address, lock: string, isLost: (uuid: string) => boolean): Outcome | undefined {
  const parsed = parseAddress(addr);
  const holder = readHolder(lock);
  if (holder !== undefined && isLost(holder.uuid)) return absent(addr, "the next registrar has not come yet");
  if (parsed.transport !== "unix") return undefined;
  if (isLocked(lock)) {
    const isElsewhere = holder !== undefined && !holder.addrs.includes(addr);
    return isElsewhere ? behindLock(addr, lock, new Error(`${addr} is not served`)) : undefined;
  }
  // a socket without a lock is not furrow's: what is there answers for itself
  if (existsSync(parsed.path) && !existsSync(lock)) return undefined;
  return absent(addr, "no live process serves it");
}

function absent(addr: Address, why: string): Outcome {
  return { kind: "absent", addr, error: new Error(`${addr}: ${why}`) };
}

async function reach(
  runtime: Runtime,
  addr: Address,
  lock: string | undefined,
  mayConnect: boolean,
  deadline: Deadline,
): Promise<Outcome> {
  if (mayConnect) {
    const peer = await outsideTasks(() => runtime.peers.connectTo(addr, deadline));
    if (peer.isRegistrar) {
      const { id, addrs, channel } = peer;
      const registrar = { name: id.name, uuid: id.uuid, addrs };
      const { localHost } = channel.link;
      return { kind: "registrar", addr, registrar, localHost, release: () => peer.release() };
    }
    // the connection may be older than its being the registrar
    peer.release();
  }
  const { hello, localHost } = await outsideTasks(() => runtime.peers.probe(addr, deadline));
  const { id, addrs, isRegistrar } = hello;
  if (isRegistrar) {
    const registrar = { name: id.name, uuid: id.uuid, addrs };
    return { kind: "registrar", addr, registrar, localHost, release: () => {} };
  }
  const error = new Error(`${addr} is ${describeActor(id)}, not a registrar`);
  return lock !== undefined && isLocked(lock) ? busy(addr, lock, error) : { kind: "occupied", addr, error };
}

/** No process listens at an address whose lock is held. */
function behindLock(addr: Address, lock: string, error: Error): Outcome {
  const holder = readHolder(lock);
  // its holder is just about to bind it, or to restore it
  if (holder === undefined || holder.addrs.includes(addr)) return busy(addr, lock, error);
  return { kind: "elsewhere", addr, holder, error };
}

function busy(addr: Address, lock: string, cause: Error): Outcome {
  const holder = readHolder(lock);
  const who = holder === undefined ? `a process that holds ${lock}` : describeHolder(holder);
  const error = new Error(`${addr} is held by ${who}, which does not answer: ${cause.message}`, { cause });
  return { kind: "busy", addr, holder, error };
}

export function describeHolder({ name, uuid, pid }: LockHolder): string {
  return `${name}#${uuid.slice(0, 8)} (pid ${pid})`;
}

/** By its code: what checks the proofs is beside this, not above it. */
function isUnauthenticated(error: Error): boolean {
  return (
    systemCode(error) === "ERR_UNAUTHENTICATED" ||
    (error instanceof RefusedError && error.refusal === "unauthenticated")
  );
}

/** Refusals that another try will not change, and what is not furrow at all. */
function isForeign(error: Error): boolean {
  if (error.cause instanceof FrameError) return true;
  return error instanceof RefusedError && error.refusal !== "limit";
}

/** @throws {RegistryOccupiedError} when something else is at an address; `cause` says what */
export function refuseOccupied(outcomes: readonly Outcome[]): void {
  const occupied = outcomes.filter((outcome) => outcome.kind === "occupied");
  if (occupied.length === 0) return;
  const errors = occupied.map(({ error }) => error);
  const where = occupied.map(({ addr }) => addr).join(", ");
  throw new RegistryOccupiedError(
    `registry address ${where} is occupied by something that does not answer as a registrar: ` +
      `${messagesOf(errors)}; free it, or choose another with registryAddrs`,
    { cause: causeOf(errors) },
  );
}
