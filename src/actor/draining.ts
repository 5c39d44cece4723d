/**
 * Draining: an actor that is about to stop takes on nothing new and finishes what runs. The order:
 *
 *  1. All registrars and peers learn of it. Once the registrars have acknowledged it, no lookup finds this actor.
 *  2. New calls, streams and dialogs are refused, with an error that says that they didn't run.
 *  3. What runs, or waits for its turn, may finish.
 *  4. The children drain, all at once; they still serve each other.
 *
 * Then the actor ends. If the time is over before, or the end begins for another reason, the rest is left out.
 */
import { Deadline } from "../deadline.ts";
import { ActorDrainingError, asError, TimeoutError } from "../errors.ts";
import { withoutFrames } from "../frames.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import type { Guard } from "../rpc/callee/serving.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, isUnattended, outermost, type Task } from "../rpc/task.ts";
import type { Kind, MessageOf } from "../wire/messages.ts";
import { type Ending, mayEnd } from "./ending.ts";

const log = logger("actor");

/** What draining needs from its actor. */
export interface DrainingHost {
  readonly id: ActorId;
  readonly limits: Limits;
  /** Aborted when the actor begins to end. */
  readonly signal: AbortSignal;
  readonly ending: Ending;
  readonly dispatcher: { isOwn(name: string): boolean };
  guard: Guard | undefined;
  /** The sessions whose peers have tasks here. */
  sessions(): readonly Session[];
  /** Drains without ending, or joins that. */
  finish(timeoutMs: number, among?: readonly string[]): Promise<void>;
  /** Takes the actor out of all lookups, of peers too; resolves when all registrars have acknowledged it. */
  registerDraining(): Promise<void>;
  drainReason: Error | undefined;
  /** Drains the children, without ending them. */
  drainChildren: ((deadline: Deadline) => Promise<void>) | undefined;
}

/** Handles a peer's request to drain. */
export async function onDrain(
  host: DrainingHost,
  session: Session,
  [, id, timeoutMs, among]: MessageOf<typeof Kind.drain>,
): Promise<void> {
  if (!mayEnd(host.id, session, id)) return;
  if (!Array.isArray(among)) {
    await host.finish(timeoutMs);
    await host.ending.endFor(session, id, "drainActor");
    return;
  }
  // the parent drains a whole tree, and ends it as a whole
  const uuids = among.filter((uuid) => typeof uuid === "string");
  await host.finish(timeoutMs, uuids);
  session.reply(id, true);
}

/** As `DrainingHost.finish`. Never rejects. */
export async function finish(
  host: DrainingHost,
  timeoutMs: number,
  among: ReadonlySet<string>,
): Promise<void> {
  const except = outermost(ambientTask());
  const isLeftOut = (task: Task): boolean => task === except || isUnattended(task);
  const deadline = new Deadline({ timeout: timeoutMs, signal: host.signal }, "drain");
  try {
    await deadline.race("stop", announce(host));
    deadline.check("stop"); // the end may have begun in this turn
    host.guard = drainingGuard(host, among);
    const reason = new ActorDrainingError(host.id, "draining");
    host.drainReason = reason;
    for (const session of host.sessions()) session.fireDraining(reason);
    const since = performance.now();
    log.info?.(`draining, for ${timeoutMs} ms at most: ${running(host, isLeftOut)}`);
    await deadline.race("stop", idle(host, isLeftOut));
    log.info?.(`nothing runs any more, ${Math.round(performance.now() - since)} ms later`);
    await deadline.race("stop", host.drainChildren?.(deadline) ?? Promise.resolve());
  } catch (error) {
    if (!(error instanceof TimeoutError)) return; // the end has begun
    log.warn?.(`still busy after a drain of ${timeoutMs} ms: ${running(host, isLeftOut)}`);
  }
}

/** Resolves when every registrar has acknowledged it; a silent one isn't waited for any longer than at the end. */
async function announce(host: DrainingHost): Promise<void> {
  const bound = new Deadline({ timeout: host.limits.stopGraceMs }, "announcement of the drain");
  try {
    await bound.race("stop", host.registerDraining());
  } catch (error) {
    log.warn?.(`some lookups may still find this actor: ${asError(error).message}`);
  }
}

function drainingGuard({ id, dispatcher, guard }: DrainingHost, among: ReadonlySet<string>): Guard {
  return {
    error: withoutFrames(() => new ActorDrainingError(id, "draining")),
    // what runs may call its own actor; and a registrar goes on serving its table
    spares: ({ uuid }, name) => uuid === id.uuid || among.has(uuid) || dispatcher.isOwn(name),
    gate: guard?.gate,
  };
}

/** Resolves when nothing runs in any session, those included that are opened meanwhile. */
async function idle(host: DrainingHost, isLeftOut: (task: Task) => boolean): Promise<void> {
  for (;;) {
    const busy = host.sessions().filter((session) => session.running(isLeftOut).length > 0);
    if (busy.length === 0) return;
    await Promise.all(busy.map((session) => session.tasksEnded(isLeftOut)));
  }
}

/** What runs, in words. */
function running(host: DrainingHost, isLeftOut: (task: Task) => boolean): string {
  const calls = host.sessions().flatMap((session) => {
    const caller = describeActor(session.peer.id);
    return session.running(isLeftOut).map((name) => `${name} for ${caller}`);
  });
  return calls.length === 0 ? "no calls run" : calls.join(", ");
}
