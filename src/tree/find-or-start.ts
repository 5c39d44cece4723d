/**
 * Starting what must not run twice: `findOrStart`, and `startActor` with `unique`. The name is claimed at the registrar
 * before there is a process, and held until that process has been reaped.
 */
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import { Deadline, sleep } from "../deadline.ts";
import { NameTakenError, RegistryUnavailableError, TimeoutError } from "../errors.ts";
import { callerFrames, setStack } from "../frames.ts";
import { connectedPeer } from "../discovery/connected.ts";
import { findOne } from "../discovery/find.ts";
import { HeldName, Holds } from "../discovery/holds.ts";
import { known } from "../discovery/known.ts";
import { Lookup } from "../discovery/lookup.ts";
import { reachFirst } from "../discovery/reach.ts";
import { Registrars } from "../discovery/registrars.ts";
import type { Found } from "../discovery/registration.ts";
import type { Portal } from "../rpc/types.ts";
import type { HeldStartOptions, StartOptions } from "./start-options.ts";

/** The nursery that the process will belong to. */
export interface Starter {
  readonly runtime: Runtime;
  /** Aborted when the nursery fails or is cancelled. */
  readonly signal: AbortSignal;
  /** @throws {SpawnError} when the nursery is closed */
  checkOpen(name: string): void;
  /** `timeoutMs` is for this start alone: a restart has the time that the options give it. */
  start<M>(name: string, options: HeldStartOptions, timeoutMs: number): Promise<Portal<M>>;
}

/** How long to leave alone what can't be reached: an actor that is busy, or just ending; or all registrars. */
const retryMs = 100;

/** By name: the attempts of this process that are under way. All who ask meanwhile wait for their end, and look again. */
const attemptsPart: Part<Map<string, Promise<void>>> = new Part();

/** As `Nursery.findOrStart`, with checked arguments. */
export async function findOrStart<M>(
  starter: Starter,
  name: string,
  options: StartOptions,
  timeout: number,
): Promise<Portal<M>> {
  const lookup = new Lookup(name, { signal: signalOf(starter, options), timeout }, "findOrStart of");
  try {
    for (;;) {
      const portal = (await findNearby<M>(lookup)) ?? (await share<M>(starter, lookup, options));
      if (portal !== undefined) return portal;
    }
  } catch (error) {
    throw explained(error, starter, name, options, timeout);
  }
}

/** As `Nursery.startActor` with `unique`, with checked arguments. */
export async function startUnique<M>(
  starter: Starter,
  name: string,
  options: StartOptions,
  timeout: number,
): Promise<Portal<M>> {
  const deadline = new Deadline({ signal: signalOf(starter, options), timeout }, "start of", name);
  try {
    const held = await Holds.of(Registrars.of(starter.runtime)).take(name, deadline);
    return await startHeld<M>(starter, held, options, deadline);
  } catch (error) {
    throw explained(error, starter, name, options, timeout);
  }
}

/** What this process knows or is connected to, without a question to a registrar. */
async function findNearby<M>(lookup: Lookup): Promise<Portal<M> | undefined> {
  const isNearby =
    connectedPeer(lookup) !== undefined || (known(lookup.registrars, lookup.name)?.length ?? 0) > 0;
  return isNearby ? ((await findOne<M>(lookup)) ?? undefined) : undefined;
}

/** Makes an attempt, or waits for the end of the one that this process is making already. */
async function share<M>(
  starter: Starter,
  lookup: Lookup,
  options: StartOptions,
): Promise<Portal<M> | undefined> {
  const { name, deadline } = lookup;
  const attempts = attemptsOf(starter.runtime);
  const other = attempts.get(name);
  if (other !== undefined) {
    await deadline.race("wait", other);
    return undefined;
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  attempts.set(name, promise);
  try {
    return await attempt<M>(starter, lookup, options);
  } catch (error) {
    if (!(error instanceof RegistryUnavailableError) || deadline.remainingMs === 0) throw error;
    // there may be one soon: lookups don't wait as long as a start may
    await sleep(Math.min(retryMs, deadline.remainingMs), deadline.signal);
    if (deadline.remainingMs === 0) throw error;
    return undefined;
  } finally {
    attempts.delete(name);
    resolve();
  }
}

/** Finds the actor, or starts it if this process gets the name. Undefined: it is there, or was, but can't be reached now. */
async function attempt<M>(
  starter: Starter,
  lookup: Lookup,
  options: StartOptions,
): Promise<Portal<M> | undefined> {
  const { name, registrars, deadline } = lookup;
  const found = await findOne<M>(lookup);
  if (found !== null) return found;
  const claimed = await Holds.of(registrars).takeOrFind(name, options.unique === true, deadline);
  if (!(claimed instanceof HeldName)) return await reachSoon<M>(lookup, claimed);
  try {
    return await startHeld<M>(starter, claimed, options, deadline);
  } catch (error) {
    // the registrar was lost meanwhile, and with it the name: another process starts the actor
    if (error instanceof NameTakenError) return undefined;
    throw error;
  }
}

async function reachSoon<M>(lookup: Lookup, found: Found): Promise<Portal<M> | undefined> {
  const portal = await reachFirst<M>(lookup, found.toReversed());
  if (portal === undefined) await lookup.deadline.race("wait", sleep(retryMs));
  return portal;
}

/** Starts an actor under a hold, which the nursery keeps from then on. */
async function startHeld<M>(
  starter: Starter,
  hold: HeldName,
  options: StartOptions,
  deadline: Deadline,
): Promise<Portal<M>> {
  const release = hold.use();
  try {
    deadline.check("wait");
    return await starter.start<M>(hold.name, { ...options, hold }, deadline.remainingMs);
  } finally {
    release();
  }
}

function signalOf({ signal }: Starter, options: StartOptions): AbortSignal {
  return options.signal === undefined ? signal : AbortSignal.any([options.signal, signal]);
}

/** The error as the caller has to see it. An abort by the nursery says the same as in other starts. */
function explained(
  error: unknown,
  starter: Starter,
  name: string,
  { signal }: StartOptions,
  timeout: number,
): unknown {
  if (signal?.aborted) return signal.reason;
  starter.checkOpen(name);
  if (error instanceof NameTakenError) setStack(error, callerFrames());
  if (!(error instanceof TimeoutError) || error.stage !== "wait") return error;
  const text = `no actor "${name}" within ${timeout} ms: its start by another process is not done yet`;
  return new TimeoutError("wait", text, { cause: error });
}

function attemptsOf(runtime: Runtime): Map<string, Promise<void>> {
  let attempts = attemptsPart.find(runtime);
  if (attempts === undefined) attemptsPart.set(runtime, (attempts = new Map()));
  return attempts;
}
