/**
 * Finds out who serves a registry address. Its lock comes first: a dead owner needs no dial, and a live one that
 * doesn't answer is a busy furrow registrar, whatever its silence looks like.
 */
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
import type { DialTarget } from "../channel/peer.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { isAbsent } from "../transport/dial.ts";
import { existsSync } from "../transport/files.ts";
import { isLocked } from "../transport/flock.ts";
import { type LockHolder, readHolder } from "../transport/socket-lock.ts";
import { probeTries, registryPatienceMs } from "./registrar-link.ts";
import { registryLock } from "./registry-files.ts";

const log = logger("discovery");

/** Waits between tries when a connection ends without an answer: a registrar may just be ending there. */
const endedBackoffMs = [10, 20, 40, 80, 160, 320] as const;

export type Outcome =
  | {
      readonly kind: "registrar";
      readonly addr: Address;
      /** With all addresses at which it listens. */
      readonly registrar: DialTarget;
      /** This machine's address on the connection to it; "" over a unix socket. */
      readonly localHost: string;
      /** Releases the connection, if one was kept. */
      readonly release: () => void;
    }
  /** No process listens there. */
  | { readonly kind: "absent"; readonly addr: Address; readonly error: Error }
  /** A live furrow registrar holds the address, but doesn't answer, or not yet. */
  | {
      readonly kind: "busy";
      readonly addr: Address;
      readonly holder: LockHolder | undefined;
      readonly error: Error;
    }
  /** A furrow registrar holds the address's lock, but serves only other addresses. */
  | { readonly kind: "elsewhere"; readonly addr: Address; readonly holder: LockHolder; readonly error: Error }
  /** One of the two sides doesn't accept the other's proof of identity. */
  | { readonly kind: "unauthenticated"; readonly addr: Address; readonly error: Error }
  /** Something else is there. */
  | { readonly kind: "occupied"; readonly addr: Address; readonly error: Error };

/**
 * Probes one registry address. An actor that already listens connects as a peer, so that it can join a registrar over
 * the same connection; so does a client, which never listens. A silent address without a lock is tried three times, within `3 * probeTimeoutMs` in all.
 *
 * `isLost`: whether that registrar has just been lost, and so is most likely dead. `wasSilent`: the last probe got no
 * answer; its connection may still be waiting for one, so this probe opens another.
 */
export async function probeRegistry(
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
      const isComplete = runtime.addrs.length > 0 || runtime.isClient;
      const mayConnect = isComplete && !wasSilent && silent === 0;
      return await dial(runtime, addr, lock, mayConnect, deadline);
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = asError(thrown);
      log.debug?.(`probe of ${addr}: ${error.message}`);
      if (isUnauthenticated(error)) return { kind: "unauthenticated", addr, error };
      const isHeld = lock !== undefined && isLocked(lock);
      if (isAbsent(error)) return isHeld ? behindLock(addr, lock, error) : { kind: "absent", addr, error };
      // any reply, even one that isn't a hello, means something is listening
      if (isForeign(error)) return { kind: "occupied", addr, error };
      if (isHeld) return busy(addr, lock, error);
      if (error instanceof TimeoutError) {
        if (++silent < probeTries && performance.now() < latest) continue;
        const silence = error.stage === "dial" ? "doesn't answer" : "accepts connections but says nothing";
        const text = `${addr} ${silence} (${probeTries} tries)`;
        return { kind: "occupied", addr, error: new Error(text, { cause: error }) };
      }
      const wait = endedBackoffMs[ended++];
      if (wait === undefined || performance.now() > latest) return { kind: "occupied", addr, error };
      await sleep(wait, signal);
    }
  }
}

/** The lock file of an address, or undefined where it has none, or no directory for it. */
export function lockOf(addr: Address): string | undefined {
  try {
    return registryLock(addr);
  } catch (error) {
    log.info?.(`no lock for ${addr}: ${asError(error).message}`);
    return undefined;
  }
}

/**
 * What the files alone say, or undefined when the address must be dialled. If the lock file still names a lost registrar,
 * there is no successor yet; that check doesn't touch the lock, since a hundred actors testing it would keep it from the
 * one that wants to take it. A tcp address is otherwise always dialled: not every program uses the same directory.
 */
function withoutAsking(addr: Address, lock: string, isLost: (uuid: string) => boolean): Outcome | undefined {
  const parsed = parseAddress(addr);
  const holder = readHolder(lock);
  if (holder !== undefined && isLost(holder.uuid))
    return absent(addr, "the lost registrar has no successor yet");
  if (parsed.transport !== "unix") return undefined;
  if (isLocked(lock)) {
    const isElsewhere = holder !== undefined && !holder.addrs.includes(addr);
    return isElsewhere ? behindLock(addr, lock, new Error(`${addr} is not served`)) : undefined;
  }
  // a socket without a lock isn't furrow's: dial it to see what is there
  if (existsSync(parsed.path) && !existsSync(lock)) return undefined;
  return absent(addr, "no live process serves it");
}

function absent(addr: Address, why: string): Outcome {
  return { kind: "absent", addr, error: new Error(`${addr}: ${why}`) };
}

async function dial(
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
    // the connection may be older than the peer's election
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

/** The outcome where the lock is held, and yet no process listens. */
function behindLock(addr: Address, lock: string, error: Error): Outcome {
  const holder = readHolder(lock);
  // its holder is about to bind the address, or to bind it again
  if (holder === undefined || holder.addrs.includes(addr)) return busy(addr, lock, error);
  return { kind: "elsewhere", addr, holder, error };
}

function busy(addr: Address, lock: string, cause: Error): Outcome {
  const holder = readHolder(lock);
  const who = holder === undefined ? `a process that holds ${lock}` : describeHolder(holder);
  const error = new Error(`${addr} is held by ${who}, which doesn't answer: ${cause.message}`, { cause });
  return { kind: "busy", addr, holder, error };
}

export function describeHolder(holder: LockHolder): string {
  return `${describeActor(holder)} (pid ${holder.pid})`;
}

/** By code, so that what checks proofs need not be imported. */
function isUnauthenticated(error: Error): boolean {
  return (
    systemCode(error) === "ERR_UNAUTHENTICATED" ||
    (error instanceof RefusedError && error.refusal === "unauthenticated")
  );
}

/** Refusals that another try won't change, and servers that aren't furrow at all. */
function isForeign(error: Error): boolean {
  if (error.cause instanceof FrameError) return true;
  return error instanceof RefusedError && error.refusal !== "limit";
}

/** @throws {RegistryOccupiedError} when something other than a registrar is at an address; `cause` says what */
export function refuseOccupied(outcomes: readonly Outcome[]): void {
  const occupied = outcomes.filter((outcome) => outcome.kind === "occupied");
  if (occupied.length === 0) return;
  const errors = occupied.map(({ error }) => error);
  const where = occupied.map(({ addr }) => addr).join(", ");
  throw new RegistryOccupiedError(
    `registry address ${where} is occupied by something that doesn't answer as a registrar: ` +
      `${messagesOf(errors)}; free it, or choose another with registryAddrs`,
    { cause: causeOf(errors) },
  );
}
