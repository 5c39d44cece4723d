/**
 * Who serves the registry addresses? Each is asked for its hello, with a bound, and what answers decides: join the
 * registrar that is there, become it where all are absent, or refuse to boot over somebody else's socket.
 */
import type { Runtime } from "../actor/runtime.ts";
import { Deadline, sleep } from "../deadline.ts";
import {
  AddressError,
  asError,
  causeOf,
  FrameError,
  messagesOf,
  RegistryOccupiedError,
  systemCode,
  TimeoutError,
} from "../errors.ts";
import { RefusedError } from "../channel/handshake.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Address } from "../transport/address.ts";
import { isAbsent } from "../transport/dial.ts";

const log = logger("discovery");

const probeTries = 3;

/** How long a silent registry is waited for in all: by a probe, by a lookup that has no timeout, for a takeover. */
export function registryPatienceMs(limits: Limits): number {
  return probeTries * limits.probeTimeoutMs;
}
/** Waits between tries when a connection ends without an answer: a registrar may be ending there just now. */
const endedBackoffMs = [10, 20, 40, 80, 160, 320] as const;

export type ProbeOutcome =
  | { readonly kind: "registrar"; readonly addr: Address; readonly id: ActorId; readonly localHost: string }
  | { readonly kind: "absent"; readonly addr: Address; readonly error: Error }
  | { readonly kind: "occupied"; readonly addr: Address; readonly error: Error };

/** Asks one registry address who is there. A silent one is asked three times, in `3 * probeTimeoutMs` in all. */
export async function probeRegistry(
  runtime: Runtime,
  addr: Address,
  signal?: AbortSignal,
): Promise<ProbeOutcome> {
  const { probeTimeoutMs } = runtime.limits;
  let silent = 0;
  const latest = performance.now() + registryPatienceMs(runtime.limits);
  for (let ended = 0; ;) {
    const timeout = Math.min(probeTimeoutMs, Math.max(0, latest - performance.now()));
    const deadline = new Deadline({ timeout, signal }, `probe of ${addr}`);
    try {
      const { hello, localHost } = await outsideTasks(() => runtime.peers.probe(addr, deadline));
      const { id, isRegistrar } = hello;
      if (isRegistrar) return { kind: "registrar", addr, id, localHost };
      const who = new Error(`${addr} is ${describeActor(id)}, which is no registrar`);
      return { kind: "occupied", addr, error: who };
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = asError(thrown);
      log.debug?.(`probe of ${addr}: ${error.message}`);
      if (isAbsent(error)) return { kind: "absent", addr, error };
      if (error instanceof TimeoutError) {
        if (++silent < probeTries && performance.now() < latest) continue;
        const silence = error.stage === "dial" ? "does not answer" : "accepts connections but says nothing";
        const text = `${addr} ${silence} (${probeTries} tries)`;
        return { kind: "occupied", addr, error: new Error(text, { cause: error }) };
      }
      const wait = endedBackoffMs[ended++];
      // an answer that is no hello is an answer
      if (
        wait === undefined ||
        performance.now() > latest ||
        error instanceof RefusedError ||
        error.cause instanceof FrameError
      )
        return { kind: "occupied", addr, error };
      await sleep(wait, signal);
    }
  }
}

/** Asks all of them side by side. */
export async function probeRegistries(
  runtime: Runtime,
  addrs: readonly Address[],
  signal?: AbortSignal,
): Promise<ProbeOutcome[]> {
  return await Promise.all(addrs.map((addr) => probeRegistry(runtime, addr, signal)));
}

/** @throws {RegistryOccupiedError} when no registrar answered and something else did; `cause` says what */
export function refuseOccupied(outcomes: readonly ProbeOutcome[]): void {
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

/**
 * Binds every registry address: the kernel's bind is the election. All contenders bind in the same order, so who has
 * the first has them all. Returns false, with nothing bound, when another was faster.
 *
 * @throws {AddressError} when an address cannot be bound at all
 */
export async function bindRegistry(runtime: Runtime, addrs: readonly Address[]): Promise<boolean> {
  const bound: Address[] = [];
  for (const addr of addrs.toSorted()) {
    try {
      await runtime.listen(addr);
      bound.push(addr);
    } catch (error) {
      runtime.unlisten(bound);
      if (error instanceof AddressError && systemCode(error.cause) === "EADDRINUSE") return false;
      throw error;
    }
  }
  return true;
}
