/** Views that go on: what happens to the actors of a pattern, drawn in place, as rows, or as JSON lines. */
import type { ActorEvent } from "../discovery/actor-event.ts";
import type { Registration } from "../discovery/registration.ts";
import { watchActors } from "../discovery/watch-actors.ts";
import { actorCells, actorTable, measured } from "./actor-table.ts";
import type { CommandContext } from "./command.ts";
import type { NamePattern } from "./glob.ts";
import { jsonLine } from "./json.ts";
import { LiveView } from "./live.ts";

/** Ages go on while nothing happens. */
const redrawMs = 1_000;

/** Shows the actors until the command is interrupted. `lines`: what a terminal shows of them. */
export async function watchView(
  context: CommandContext,
  pattern: NamePattern,
  lines: (actors: readonly Registration[]) => readonly string[],
): Promise<never> {
  if (context.json) await printEvents(context, pattern);
  else if (context.terminal.isTerminal) await drawEvents(context, pattern, lines);
  else await printRows(context, pattern);
  // the watch only ends with the signal
  context.signal.throwIfAborted();
  throw new Error("the watch ended by itself");
}

/** The events of the actors that the pattern matches. */
async function* eventsOf(
  { signal }: CommandContext,
  { watched, matches }: NamePattern,
): AsyncGenerator<ActorEvent> {
  for await (const event of watchActors(watched, { signal })) {
    if (event.type === "sync") yield { ...event, actors: event.actors.filter(({ id }) => matches(id.name)) };
    else if (matches(event.actor.id.name)) yield event;
  }
}

async function printEvents(context: CommandContext, pattern: NamePattern): Promise<void> {
  for await (const event of eventsOf(context, pattern)) await context.out(jsonLine({ ...event }));
}

async function printRows(context: CommandContext, pattern: NamePattern): Promise<void> {
  const { terminal } = context;
  const table = actorTable(terminal, [{ title: "CHANGE" }, { title: "TIME" }]);
  for await (const event of eventsOf(context, pattern)) {
    const now = Date.now();
    const actors = event.type === "sync" ? event.actors : [event.actor];
    const rows = measured(actors).map((actor) => [
      event.type,
      new Date(now).toISOString(),
      ...actorCells(actor, terminal, now),
    ]);
    await context.out(
      table
        .lines(rows)
        .map((line) => `${line}\n`)
        .join(""),
    );
  }
}

async function drawEvents(
  context: CommandContext,
  pattern: NamePattern,
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
    for await (const actors of actorsOver(pattern.watched, context.signal)) {
      shown = actors.filter(({ id }) => pattern.matches(id.name));
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
