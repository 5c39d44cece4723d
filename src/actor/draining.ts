/**
 * Draining: an actor that is about to stop takes on nothing new and finishes what runs. The order:
 *
 *  1. All registrars learn of it: from their acknowledgement on no lookup finds this actor.
 *  2. New calls, streams and dialogs are refused, with an error that says that they didn't run.
 *  3. What runs, or waits for its turn, may finish.
 *  4. The children drain, all at once; they still serve each other.
 *
 * Whoever drains the actor then ends it. If the time is over before, or the end begins for another reason, the rest is
 * left out.
 */
import { Deadline } from "../deadline.ts";
import { ActorDrainingError, TimeoutError } from "../errors.ts";
import { withoutFrames } from "../frames.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { Guard } from "../rpc/callee/serving.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, isUnattended, outermost, type Task } from "../rpc/task.ts";

const log = logger("actor");

/** What draining needs from its actor. */
export interface DrainingHost {
  readonly id: ActorId;
  /** Aborted when the actor begins to end. */
  readonly signal: AbortSignal;
  guard: Guard | undefined;
  /** The runtime's own functions are served until the end. */
  isOwnFunction(name: string): boolean;
  /** The sessions whose peers have tasks here. */
  sessions(): readonly Session[];
  /** Step 1. */
  announceDraining(): Promise<void>;
  /** Step 4. */
  drainChildren: ((deadline: Deadline) => Promise<void>) | undefined;
}

/**
 * Drains the actor, within `timeoutMs`. Calls of the actors `among` are still served. `onRefusing` is called when new
 * requests are refused. Never rejects.
 */
export async function drain(
  host: DrainingHost,
  timeoutMs: number,
  among: ReadonlySet<string>,
  onRefusing: () => void,
): Promise<void> {
  const except = outermost(ambientTask());
  const isLeftOut = (task: Task): boolean => task === except || isUnattended(task);
  const deadline = new Deadline({ timeout: timeoutMs, signal: host.signal }, "drain");
  try {
    await deadline.race("stop", host.announceDraining());
    deadline.check("stop"); // the end may have begun in this turn
    host.guard = drainingGuard(host, among);
    onRefusing();
    log.info?.(`draining, for ${timeoutMs} ms at most: ${listed(host, isLeftOut)}`);
    await deadline.race("stop", idle(host, isLeftOut));
    await deadline.race("stop", host.drainChildren?.(deadline) ?? Promise.resolve());
  } catch (error) {
    // else the end has begun
    if (!(error instanceof TimeoutError)) return;
    log.warn?.(`still busy after a drain of ${timeoutMs} ms: ${listed(host, isLeftOut)}`);
  }
}

function drainingGuard(host: DrainingHost, among: ReadonlySet<string>): Guard {
  const { id } = host;
  return {
    error: withoutFrames(() => new ActorDrainingError(id, "draining")),
    // what runs may call its own actor
    spares: ({ uuid }, name) => uuid === id.uuid || among.has(uuid) || host.isOwnFunction(name),
    gate: host.guard?.gate,
  };
}

/** Resolves when nothing runs, in any session, those included that are opened meanwhile. */
async function idle(host: DrainingHost, isLeftOut: (task: Task) => boolean): Promise<void> {
  for (;;) {
    const busy = host.sessions().filter((session) => session.running(isLeftOut).length > 0);
    if (busy.length === 0) return;
    await Promise.all(busy.map((session) => session.tasksEnded(isLeftOut)));
  }
}

/** What runs, in words. */
function listed(host: DrainingHost, isLeftOut: (task: Task) => boolean): string {
  const running = host
    .sessions()
    .flatMap((session) =>
      session.running(isLeftOut).map((name) => `${name} of ${describeActor(session.peer.id)}`),
    );
  return running.length === 0 ? "no calls run" : running.join(", ");
}
