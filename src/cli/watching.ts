/** Views that go on: what happens to the actors of a pattern, drawn in place, as rows, or as JSON lines. */
import type { ActorEvent } from "../discovery/actor-event.ts";
import type { Registration } from "../discovery/registration.ts";
import { watchActors } from "../discovery/watch-actors.ts";
import { actorCells, actorTable, measured } from "./actor-table.ts";
import type { CommandContext } from "./command.ts";
import { jsonLine } from "./json.ts";
import { LiveView } from "./live.ts";

/** Ages go on while nothing happens. */
const redrawMs = 1_000;

/** Which actors a view shows. */
export interface Watched {
  /** What `watchActors` watches. */
  readonly pattern: string;
  /** Which of those are shown. `actors`: all of them that there are now, by uuid. */
  readonly isShown: (actor: Registration, actors: ReadonlyMap<string, Registration>) => boolean;
}

/** Shows the actors until the command is interrupted. `lines`: what a terminal shows of them. */
export async function watchView(
  context: CommandContext,
  watched: Watched,
  lines: (actors: readonly Registration[]) => readonly string[],
): Promise<never> {
  if (context.json) await printEvents(context, watched);
  else if (context.terminal.isTerminal) await drawEvents(context, watched, lines);
  else await printRows(context, watched);
  // the watch only ends with the signal
  context.signal.throwIfAborted();
  throw new Error("the watch ended by itself");
}

/** The events of the actors that are shown. */
async function* eventsOf({ signal }: CommandContext, watched: Watched): AsyncGenerator<ActorEvent> {
  const actors = new Map<string, Registration>();
  // what was shown is shown to its end, whatever ends before it
  const shown = new Set<string>();
  const isShown = (actor: Registration): boolean => {
    if (!shown.has(actor.id.uuid) && watched.isShown(actor, actors)) shown.add(actor.id.uuid);
    return shown.has(actor.id.uuid);
  };
  for await (const event of watchActors(watched.pattern, { signal })) {
    apply(event, actors);
    if (event.type === "sync") {
      shown.clear();
      yield { ...event, actors: event.actors.filter(isShown) };
    } else if (event.type === "down" ? shown.delete(event.actor.id.uuid) : isShown(event.actor)) yield event;
  }
}

async function printEvents(context: CommandContext, watched: Watched): Promise<void> {
  for await (const event of eventsOf(context, watched)) await context.out(jsonLine({ ...event }));
}

async function printRows(context: CommandContext, watched: Watched): Promise<void> {
  const { terminal } = context;
  const table = actorTable(terminal, [{ title: "CHANGE" }, { title: "TIME" }]);
  for await (const event of eventsOf(context, watched)) {
    const now = Date.now();
    const actors = event.type === "sync" ? event.actors : [event.actor];
    const rows = measured(actors).map((actor) => [
      event.type,
      new Date(now).toISOString(),
      ...actorCells(actor, terminal, now),
    ]);
    await context.lines(table.lines(rows));
  }
}

async function drawEvents(
  context: CommandContext,
  { pattern, isShown }: Watched,
  lines: (actors: readonly Registration[]) => readonly string[],
): Promise<void> {
  const view = new LiveView(context);
  let shown: readonly Registration[] | undefined;
  const draw = async (): Promise<void> => {
    if (shown !== undefined) await view.draw(lines(shown));
  };
  // what a write fails with also aborts the command
  const timer = setInterval(() => void draw().catch(() => {}), redrawMs);
  try {
    for await (const actors of actorsOver(pattern, context.signal)) {
      const byUuid = new Map(actors.map((actor) => [actor.id.uuid, actor]));
      shown = actors.filter((actor) => isShown(actor, byUuid));
      await draw();
    }
  } finally {
    clearInterval(timer);
  }
}

/** The actors of a pattern of `watchActors`: as they are now, and again after every change. */
export async function* actorsOver(
  watched: string,
  signal: AbortSignal,
): AsyncGenerator<readonly Registration[]> {
  const actors = new Map<string, Registration>();
  for await (const event of watchActors(watched, { signal })) {
    apply(event, actors);
    yield Array.from(actors.values());
  }
}

function apply(event: ActorEvent, actors: Map<string, Registration>): void {
  if (event.type === "sync") {
    actors.clear();
    for (const actor of event.actors) actors.set(actor.id.uuid, actor);
  } else if (event.type === "down") {
    actors.delete(event.actor.id.uuid);
  } else {
    actors.set(event.actor.id.uuid, event.actor);
  }
}
