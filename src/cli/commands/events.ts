/** `furrow events`: what happens to the actors. */
import type { Registration } from "../../discovery/registration.ts";
import { watchActors } from "../../discovery/watch-actors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import type { ChildEvent } from "../../tree/child-events.ts";
import { listActors } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonDocument, jsonLine } from "../json.ts";
import { followParents } from "../parents.ts";
import { parseDuration } from "../units.ts";

export const command: Command = {
  usage: "",
  details: `Prints one line for each event: the time, what happened, and to which actor.
  started    it is registered
  draining   it finishes what it does, and takes on nothing new
  ended      it isn't registered any more
  died       its process ended though nobody ended it, with the reason
  restarted  its nursery has started it again
  gave-up    its nursery would have, but its restarts are used up
  registrar  another registrar has taken over
Of the past, only the starts of actors that still run are known: without --follow these are all, and with it they come
first if --since is given.`,
  example: "furrow events -f --json",
  options: {
    follow: { type: "boolean", short: "f", summary: "go on with what happens until interrupted" },
    since: {
      type: "string",
      value: "TIME",
      summary: "begin with starts that are no older than that; default: all of them, with --follow none",
    },
  },
  run: events,
};

interface ShownEvent {
  /** In milliseconds since 1970. */
  readonly at: number;
  readonly type: "started" | "draining" | "ended" | "died" | "restarted" | "gave-up" | "registrar";
  readonly actor: ActorId | null;
  readonly error?: Error;
}

async function events(context: CommandContext): Promise<number> {
  const { flags, signal, json } = context;
  const { since } = flags;
  const follows = flags["follow"] === true;
  const fallback = follows ? Number.POSITIVE_INFINITY : 0;
  const earliest = typeof since === "string" ? Date.now() - parseDuration(since, "--since") : fallback;
  await context.client();
  if (!follows) {
    const shown = startsOf(await listActors("*", signal), earliest);
    if (json) await context.out(jsonDocument({ events: shown }));
    else for (const event of shown) await print(event, context);
    return Exit.ok;
  }
  await Promise.all([
    followRegistry(context, earliest),
    followParents(context, signal, (portal) => followChildren(portal, context)),
  ]);
  signal.throwIfAborted();
  return Exit.ok;
}

function startsOf(actors: readonly Registration[], earliest: number): ShownEvent[] {
  return actors
    .filter(({ startedAt }) => startedAt >= earliest)
    .toSorted((a, b) => a.startedAt - b.startedAt)
    .map(({ id, startedAt }) => ({ at: startedAt, type: "started", actor: id }));
}

/** What the registry tells. */
async function followRegistry(context: CommandContext, earliest: number): Promise<void> {
  let isFirst = true;
  for await (const event of watchActors("*", { signal: context.signal })) {
    const at = Date.now();
    if (event.type === "sync") {
      const shown: ShownEvent[] = isFirst
        ? startsOf(event.actors, earliest)
        : [{ at, type: "registrar", actor: null }];
      isFirst = false;
      for (const one of shown) await print(one, context);
    } else if (event.type !== "changed" || event.actor.state === "draining") {
      const type = event.type === "up" ? "started" : event.type === "down" ? "ended" : "draining";
      await print({ at, type, actor: event.actor.id }, context);
    }
  }
}

/** What an actor tells of its children, beyond what the registry does. */
async function followChildren(
  portal: Parameters<Parameters<typeof followParents>[2]>[0],
  context: CommandContext,
): Promise<void> {
  const told = portal.stream["furrow.events"]() as AsyncIterable<ChildEvent>;
  for await (const { type, id, error, at } of told)
    if (type !== "started") await print({ at, type, actor: id, ...(error && { error }) }, context);
}

async function print(event: ShownEvent, context: CommandContext): Promise<void> {
  if (context.json) return await context.out(jsonLine({ ...event }));
  const { at, type, actor, error } = event;
  const styles = { died: "red", "gave-up": "red", draining: "yellow", registrar: "yellow" } as const;
  const style = type in styles ? styles[type as keyof typeof styles] : undefined;
  const word = type.padEnd("restarted".length);
  const shown = style === undefined ? word : context.terminal.style(style, word);
  const of = actor === null ? "" : `  ${describeActor(actor)} (pid ${actor.pid})`;
  const why = error === undefined ? "" : `  ${error.message.split("\n")[0]}`;
  await context.out(`${new Date(at).toISOString()}  ${shown}${of}${why}\n`);
}
