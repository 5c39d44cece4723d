/** `furrow ls`: the actors. */
import { currentRuntime } from "../../actor/current.ts";
import { Registrars } from "../../discovery/registrars.ts";
import type { Registration } from "../../discovery/registration.ts";
import { actorCells, actorTable, areOnSeveralHosts, measured, type MeasuredActor } from "../actor-table.ts";
import { listActors, notFound } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { readPattern } from "../glob.ts";
import { jsonDocument } from "../json.ts";
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
its memory, are known for actors of this host. HOST tells machines apart where there are several. With --watch in a terminal, the table is drawn again with
every change; in a pipe, every change is a row, and with --json a line.`,
  example: "furrow ls 'web-*' --watch",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: {
    watch: { type: "boolean", short: "w", summary: "show every change until interrupted" },
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
  await context.client();
  const [glob = "*"] = args;
  const pattern = readPattern(glob);
  const order = orders[(flags["sort"] ?? "name") as keyof typeof orders];
  const lines = (actors: readonly Registration[]): readonly string[] => {
    const now = Date.now();
    const withHost = areOnSeveralHosts(actors);
    const rows = measured(actors)
      .toSorted(order)
      .map((actor) => actorCells(actor, terminal, now, undefined, withHost));
    return actorTable(terminal, [], withHost).lines(rows);
  };
  if (flags["watch"] === true) return await watchView(context, pattern, lines);
  const actors = (await listActors(pattern.watched, signal)).filter(({ id }) => pattern.matches(id.name));
  await context.err(staleNote());
  if (actors.length === 0 && !pattern.watched.endsWith("*")) throw await notFound(glob, signal);
  if (json) await context.out(jsonDocument({ actors: measured(actors).toSorted(order) }));
  else
    await context.out(
      lines(actors)
        .map((line) => `${line}\n`)
        .join(""),
    );
  return Exit.ok;
}

/** What to say when the registrar may be behind with other hosts; nothing if it isn't. */
function staleNote(): string {
  const [staleness] = Registrars.of(currentRuntime()).stalenesses;
  return staleness === undefined ? "" : `furrow: actors of other hosts may be missing: ${staleness.reason}\n`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
