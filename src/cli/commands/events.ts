/** `furrow events`: what happens to the actors. */
import { getRegistry } from "../../discovery/registry.ts";
import type { Registration } from "../../discovery/registration.ts";
import { watchActors } from "../../discovery/watch-actors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import type { Portal } from "../../rpc/types.ts";
import type { ChildEvent } from "../../tree/child-events.ts";
import type { PastEvent } from "../../tree/child-history.ts";
import type { EventOptions } from "../../tree/steering.ts";
import { listActors } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { type NamePattern, readPattern } from "../glob.ts";
import { jsonDocument, jsonLine } from "../json.ts";
import { timeAgo } from "../options.ts";
import { followParents } from "../parents.ts";
import { isEnd, type Past, readPast } from "../past.ts";

export const command: Command = {
  usage: "[GLOB]",
  details: `Prints one line for each event: the time, what happened, and to which actor.
  started    it is registered
  draining   it finishes what it does, and takes on nothing new
  ended      it isn't registered any more
  died       its process has failed, with the reason
  restarted  its nursery has started it again
  gave-up    its nursery would have, but its restarts are used up
  registrar  another registrar has taken over
Of the past it shows when the actors that run were started, and what parents that still run remember: the last 64 ends and
restarts of their children within 5 minutes. Without --follow that is all; with it, that comes first if --since is given.`,
  example: "furrow events -f --since 5m",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: {
    follow: { type: "boolean", short: "f", summary: "go on with what happens until interrupted" },
    since: {
      type: "string",
      value: "TIME",
      summary: "begin with what is no older than that; default: all that is known, with --follow nothing",
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
  const { args, flags, signal, json } = context;
  const pattern = readPattern(args[0] ?? "*");
  const earliest = timeAgo(flags, "since");
  await context.client();
  if (flags["follow"] === true) return await new Following(context, pattern, earliest).run();
  const actors = await listActors("*", signal);
  const past = await readPast(actors, earliest ?? 0, signal);
  const shown = pastEvents(actors, past, earliest ?? 0).filter((event) => isOf(event, pattern));
  if (json) await context.out(jsonDocument({ events: shown }));
  else for (const event of shown) await print(event, context);
  return await context.failures(past.errors);
}

/** What is known to have happened, by time. */
function pastEvents(actors: readonly Registration[], { events: past }: Past, earliest: number): ShownEvent[] {
  const ends = past.filter(isEnd);
  const starts = [...actors, ...ends]
    .filter(({ startedAt }) => startedAt > 0 && startedAt >= earliest)
    .map(({ id, startedAt }): ShownEvent => ({ at: startedAt, type: "started", actor: id }));
  return [...starts, ...past.map(shownOf)].toSorted((a, b) => a.at - b.at);
}

function shownOf({ type, id, at, error }: PastEvent | ChildEvent): ShownEvent {
  // an actor that anyone has ended in order hasn't died
  const shown = type === "died" && error === undefined ? "ended" : type;
  return { at, type: shown, actor: id, ...(error && { error }) };
}

/** A change of the registrar concerns every actor. */
function isOf({ type, actor }: ShownEvent, { matches }: NamePattern): boolean {
  return type === "registrar" || actor === null || matches(actor.name);
}

/** Prints what happens until the command is interrupted. */
class Following {
  readonly #context: CommandContext;
  readonly #pattern: NamePattern;
  readonly #earliest: number | undefined;
  /** What has been printed of the past, which parents tell again. */
  readonly #told = new Set<string>();
  /** The processes of which it has been printed that they have ended. */
  readonly #ended = new Set<string>();
  readonly #begun = Promise.withResolvers<void>();

  constructor(context: CommandContext, pattern: NamePattern, earliest: number | undefined) {
    this.#context = context;
    this.#pattern = pattern;
    this.#earliest = earliest;
  }

  async run(): Promise<number> {
    const { signal } = this.#context;
    await Promise.all([
      this.#followRegistry(),
      followParents(this.#context, signal, (portal) => this.#followChildren(portal)),
    ]);
    signal.throwIfAborted();
    return Exit.ok;
  }

  async #followRegistry(): Promise<void> {
    let isFirst = true;
    for await (const event of watchActors("*", { signal: this.#context.signal })) {
      const at = Date.now();
      if (event.type === "sync") {
        if (isFirst) await this.#printPast(event.actors);
        else await this.#print({ at, type: "registrar", actor: await registrarNow() });
        isFirst = false;
      } else if (event.type !== "changed" || event.actor.state === "draining") {
        const type = event.type === "up" ? "started" : event.type === "down" ? "ended" : "draining";
        const { id } = event.actor;
        if (type !== "ended" || !this.#ended.has(id.uuid)) await this.#print({ at, type, actor: id });
      }
    }
  }

  async #printPast(actors: readonly Registration[]): Promise<void> {
    if (this.#earliest !== undefined) {
      const past = await readPast(actors, this.#earliest, this.#context.signal);
      for (const event of past.events) {
        this.#told.add(keyOf(event));
        if (isEnd(event)) this.#ended.add(event.id.uuid);
      }
      for (const event of pastEvents(actors, past, this.#earliest)) await this.#print(event);
      await this.#context.failures(past.errors);
    }
    this.#begun.resolve();
  }

  /** What an actor tells of its children, beyond what the registry does. */
  async #followChildren(portal: Portal<unknown>): Promise<void> {
    await this.#begun.promise;
    const options: EventOptions = this.#earliest === undefined ? {} : { since: this.#earliest };
    const told = portal.stream["furrow.events"](options) as AsyncIterable<ChildEvent | PastEvent>;
    for await (const event of told) {
      const shown = shownOf(event);
      const isRegistrys = shown.type === "started" || shown.type === "ended";
      if (!isRegistrys && !this.#told.has(keyOf(event))) await this.#print(shown);
    }
  }

  async #print(event: ShownEvent): Promise<void> {
    if (isOf(event, this.#pattern)) await print(event, this.#context);
  }
}

function keyOf({ type, id, at }: ChildEvent | PastEvent): string {
  return `${type} ${id.uuid} ${at}`;
}

/** The registrar that answers now. */
async function registrarNow(): Promise<ActorId | null> {
  try {
    await using registry = await getRegistry();
    return registry.id;
  } catch {
    return null; // it is gone, and the next one is another event
  }
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
