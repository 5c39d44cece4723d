/** `furrow ls`: the actors. */
import type { Registration } from "../../discovery/registration.ts";
import { actorCells, actorTable, measured, type MeasuredActor } from "../actor-table.ts";
import { listActors, notFound } from "../actors.ts";
import type { Command, CommandContext, Terminal } from "../command.ts";
import { UsageError } from "../exit.ts";
import { readPattern } from "../glob.ts";
import { jsonDocument } from "../json.ts";
import { endDocument, type EndedActor, endedCells, isEnd, readPast } from "../past.ts";
import { watchView } from "../watching.ts";

const orders = {
  name: (a, b) => compare(a.id.name, b.id.name) || a.startedAt - b.startedAt,
  cpu: (a, b) => (b.cpuSeconds ?? -1) - (a.cpuSeconds ?? -1),
  rss: (a, b) => (b.rssBytes ?? -1) - (a.rssBytes ?? -1),
  up: (a, b) => a.startedAt - b.startedAt,
} as const satisfies Record<string, (a: MeasuredActor, b: MeasuredActor) => number>;

export const command: Command = {
  usage: "[GLOB]",
  details: `Lists the registered actors, those that are draining included. GLOB selects names: * stands for any
characters, ? for one. UP is the time since the actor started; CPU, the processor time of its process since then, and RSS,
its memory, are known for actors of this host. With --watch in a terminal, the table is drawn again with
every change; in a pipe, every change is a row, and with --json a line. With --all there are also the actors that ended in
the last 5 minutes, as far as a parent that still runs remembers them: each the last 64. Their UP is how long they ran.`,
  example: "furrow ls 'web-*' --watch",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: {
    watch: { type: "boolean", short: "w", summary: "show every change until interrupted" },
    all: { type: "boolean", short: "a", summary: "also those that ended in the last 5 minutes" },
    sort: {
      type: "string",
      value: "KEY",
      choices: Object.keys(orders),
      summary: "what to sort by: the largest first, with up the oldest",
    },
  },
  run: list,
};

async function list(context: CommandContext): Promise<number> {
  const { args, flags, json, signal, terminal } = context;
  const [glob = "*"] = args;
  const pattern = readPattern(glob);
  const order = orders[(flags["sort"] ?? "name") as keyof typeof orders];
  const sorted = (actors: readonly Registration[]): MeasuredActor[] => measured(actors).toSorted(order);
  const isAll = flags["all"] === true;
  if (isAll && flags["watch"] === true)
    throw new UsageError("--all and --watch don't go together: --watch shows every end");
  await context.client();
  if (flags["watch"] === true)
    return await watchView(
      context,
      { pattern: pattern.watched, isShown: ({ id }) => pattern.matches(id.name) },
      (found) => linesOf(sorted(found), undefined, terminal),
    );
  // any actor may be the parent of one that has ended
  const all = await listActors(isAll ? "*" : pattern.watched, signal);
  const actors = sorted(all.filter(({ id }) => pattern.matches(id.name)));
  const past = isAll ? await readPast(all, 0, signal) : undefined;
  const ended = past?.events.filter(isEnd).filter(({ id }) => pattern.matches(id.name));
  if (actors.length === 0 && !ended?.length && !pattern.watched.endsWith("*"))
    throw await notFound(glob, signal);
  if (json) await context.out(jsonDocument({ actors, ...(ended && { ended: ended.map(endDocument) }) }));
  else await context.lines(linesOf(actors, ended, terminal));
  return await context.failures(past?.errors ?? []);
}

/** `ended`: those that have ended; undefined if they aren't shown. */
function linesOf(
  actors: readonly MeasuredActor[],
  ended: readonly EndedActor[] | undefined,
  terminal: Terminal,
): string[] {
  const now = Date.now();
  const rows = actors.map((actor) => actorCells(actor, terminal, now));
  if (ended === undefined) return actorTable(terminal).lines(rows);
  const last = [{ title: "END", shrinks: true }];
  return actorTable(terminal, [], last).lines([
    ...rows.map((row) => [...row, "-"]),
    ...ended.map((actor) => endedCells(actor, terminal, now)),
  ]);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
