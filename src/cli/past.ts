/** What the parents that run remember of their children: ends of the last minutes, and restarts. */
import type { Registration } from "../discovery/registration.ts";
import { ActorNotFoundError, asError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { PastEvent } from "../tree/child-history.ts";
import { howOf } from "../tree/death.ts";
import type { EventOptions } from "../tree/steering.ts";
import { connectTo } from "./actors.ts";
import type { Terminal } from "./command.ts";
import { parentsOf } from "./parents.ts";
import { formatAge } from "./units.ts";

/** How long each parent may take to tell. */
const timeoutMs = 2_000;

export interface Past {
  /** By time. */
  readonly events: readonly PastEvent[];
  /** Why some parents don't tell: they are frozen, of an older version, or don't trust this client. */
  readonly errors: readonly Error[];
}

/** Asks all parents among the actors. `earliest`: in milliseconds since 1970. */
export async function readPast(
  actors: readonly Registration[],
  earliest: number,
  signal: AbortSignal,
): Promise<Past> {
  const events: PastEvent[] = [];
  const errors: Error[] = [];
  const ask = async (parent: Registration): Promise<void> => {
    try {
      events.push(...(await pastOf(parent, earliest, signal)));
    } catch (error) {
      // one that is gone by now has nothing to tell
      if (!(error instanceof ActorNotFoundError)) errors.push(asError(error));
    }
  };
  await Promise.all(parentsOf(actors).map(ask));
  signal.throwIfAborted();
  return { events: events.toSorted((a, b) => a.at - b.at), errors };
}

/** Asks one parent. */
export async function pastOf(
  parent: Registration,
  earliest: number,
  signal: AbortSignal,
): Promise<PastEvent[]> {
  const late = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, late]);
  const options: EventOptions = { since: earliest, follow: false };
  try {
    await using portal = await connectTo(parent, { signal: either });
    const events = portal
      .with({ signal: either })
      .stream["furrow.events"](options) as AsyncIterable<PastEvent>;
    return await Array.fromAsync(events);
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error;
    const message = `${describeActor(parent.id)} doesn't say how its children ended: it didn't answer within ${timeoutMs} ms`;
    throw new TimeoutError("call", message, { cause: error });
  }
}

/** A process that has ended. */
export type EndedActor = PastEvent & Required<Pick<PastEvent, "startedAt" | "restarts">>;

export function isEnd(event: PastEvent): event is EndedActor {
  return event.type === "died" || event.type === "ended";
}

/** When and how it ended: "12s ago, exit code 3". */
export function endText(end: PastEvent, now: number): string {
  return `${formatAge(now - end.at)} ago, ${reasonOf(end) ?? "in order"}`;
}

/** As a row of the actors' table, and what its last column has of the end. */
export function endedCells(end: EndedActor, terminal: Terminal, now: number): string[] {
  const { id, at, startedAt } = end;
  const ran = formatAge(at - startedAt);
  const state = hasFailed(end) ? terminal.style("red", "died") : terminal.style("dim", "ended");
  return [id.name, id.uuid.slice(0, 8), String(id.pid), ran, "-", "-", state, "-", "-", endText(end, now)];
}

/** As documents have it. */
export function endDocument(end: EndedActor): Readonly<Record<string, unknown>> {
  const { id, at, startedAt, restarts, error } = end;
  const type = hasFailed(end) ? "died" : "ended";
  return { id, type, at, startedAt, restarts, reason: reasonOf(end) ?? null, ...(error && { error }) };
}

/** An end in order is one, whoever asked for it. */
function hasFailed({ error }: PastEvent): boolean {
  return error !== undefined;
}

/** Why it ended, in a few words: "exit code 3", "SIGKILL". Undefined if nothing was wrong. */
function reasonOf({ error }: PastEvent): string | undefined {
  return error && (howOf(error) ?? error.message.split("\n")[0]);
}
