/** `furrow info`: all that is known of an actor. */
import type { Registration } from "../../discovery/registration.ts";
import { describeActor, placeOf } from "../../identity.ts";
import type { Description } from "../../inspect/describe.ts";
import { defaultLimits, type Limits } from "../../limits.ts";
import { hostId } from "../../transport/host.ts";
import { checkActorName } from "../../wire/actor-name.ts";
import { measured, type MeasuredActor } from "../actor-table.ts";
import { connectTo, isMeant, listActors, notFound } from "../actors.ts";
import type { Command, CommandContext, Terminal } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonDocument } from "../json.ts";
import { endDocument, endText, type EndedActor, isEnd, pastOf } from "../past.ts";
import { formatAge, formatBytes } from "../units.ts";

/** How long an actor may take to describe itself. */
const describeTimeoutMs = 2_000;

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Shows the identity, addresses, metadata and functions of each actor of that name, its modules, the limits that differ from
the defaults, how often its nursery has restarted it, and how its last process ended, if its parent still knows. The verb of a function says what it is called with: run with
furrow call, stream with furrow stream. One that takes a Context is listed as run, too, but only programs can open it. Of
an actor that doesn't answer within two seconds it shows what the registrar knows.`,
  example: "furrow info market",
  args: { min: 1, max: 1 },
  completes: "actors",
  options: {},
  run: info,
};

/** An actor as it is registered, and as it describes itself. */
type Known = MeasuredActor & {
  /** Null if it doesn't answer. */
  readonly description: Description | null;
  /** How often its nursery has restarted it; null for a root, and if its parent doesn't answer. */
  readonly restarts: number | null;
  /** The end of its last process before this one, if its parent remembers it. */
  readonly lastEnd: EndedActor | null;
};

async function info(context: CommandContext): Promise<number> {
  const { args, json, signal, terminal } = context;
  const [word = ""] = args;
  checkActorName(word);
  await context.client();
  const all = await listActors("*", signal);
  const found = measured(all.filter((actor) => isMeant(actor, word)));
  if (found.length === 0) throw await notFound(word, signal);
  const known = await Promise.all(found.map((actor) => know(actor, all, signal)));
  signal.throwIfAborted();
  if (json) await context.out(jsonDocument({ actors: known.map(documentOf) }));
  else await context.out(known.map((actor) => text(actor, all, terminal)).join("\n"));
  return Exit.ok;
}

async function know(actor: MeasuredActor, all: readonly Registration[], signal: AbortSignal): Promise<Known> {
  const parent = all.find(({ id }) => id.uuid === actor.parent);
  const [description, above, past] = await Promise.all([
    describe(actor, signal),
    parent === undefined ? null : describe(parent, signal),
    parent === undefined ? [] : endsOf(parent, signal),
  ]);
  const child = above?.children.find(({ id }) => id.uuid === actor.id.uuid);
  // what stays when a nursery starts it again
  const place = placeOf(actor.id.uuid);
  const lastEnd = past.findLast(({ id }) => placeOf(id.uuid) === place);
  return { ...actor, description, restarts: child?.restarts ?? null, lastEnd: lastEnd ?? null };
}

function documentOf(actor: Known): Readonly<Record<string, unknown>> {
  return { ...actor, lastEnd: actor.lastEnd && endDocument(actor.lastEnd) };
}

async function endsOf(parent: Registration, signal: AbortSignal): Promise<readonly EndedActor[]> {
  try {
    return (await pastOf(parent, 0, signal)).filter(isEnd);
  } catch {
    return []; // it is frozen, of an older version, or doesn't trust us
  }
}

async function describe(actor: Registration, signal: AbortSignal): Promise<Description | null> {
  const bounds = { signal, timeout: describeTimeoutMs };
  try {
    await using portal = await connectTo(actor, bounds);
    return (await portal.with(bounds).run["furrow.describe"]()) as Description;
  } catch {
    return null; // it is frozen, of an older version, or doesn't trust us: what is registered has to do
  }
}

/** The lines of one actor. */
function text(actor: Known, all: readonly Registration[], terminal: Terminal): string {
  const { id, addrs, functions, metadata, version, state, restarts, description, lastEnd } = actor;
  const children = all.filter(({ parent }) => parent === id.uuid).map((child) => describeActor(child.id));
  const fields: readonly (readonly [string, readonly string[]])[] = [
    ["uuid", [id.uuid]],
    ["pid", [`${id.pid}${id.host === hostId() ? "" : ` on host ${id.host}`}`]],
    ["state", [description === null ? `${state}, but doesn't answer` : state]],
    ["started", [startedText(actor)]],
    ["uses", [usesText(actor)]],
    ["version", [version ?? "-"]],
    ["parent", [parentText(actor, all)]],
    ["children", orNone(children)],
    ["restarts", [String(restarts ?? "-")]],
    ["last end", [lastEnd === null ? "-" : `${endText(lastEnd, Date.now())} (${describeActor(lastEnd.id)})`]],
    ["addrs", orNone(addrs)],
    ["metadata", orNone(Object.entries(metadata).map(([key, value]) => `${key}=${JSON.stringify(value)}`))],
    ["functions", orNone(functions.map(({ name, verb }) => `${verb.padEnd(6)}  ${name}`))],
    ...(description === null ? [] : ownFields(description)),
  ];
  const lines = fields.flatMap(([title, values]) =>
    values.map((value, at) => `  ${(at === 0 ? title : "").padEnd(9)}  ${value}`),
  );
  return `${terminal.style("bold", describeActor(id))}\n${lines.join("\n")}\n`;
}

/** What only the actor itself knows. */
function ownFields(own: Description): (readonly [string, readonly string[]])[] {
  const role = own.isRegistrar ? "root and registrar" : own.isRoot ? "root" : "child";
  const changed = Object.entries(own.limits).filter(
    ([name, value]) => defaultLimits[name as keyof Limits] !== value,
  );
  return [
    ["role", [role]],
    ["furrow", [`${own.furrow ?? "unknown"}, bun ${own.bun} on ${own.platform}`]],
    ["modules", orNone(own.modules)],
    ["limits", changed.length === 0 ? ["the defaults"] : changed.map(([name, value]) => `${name} ${value}`)],
    ["peers", [String(own.peers.length + own.peersLeftOut)]],
  ];
}

function startedText({ startedAt }: Registration): string {
  if (startedAt === 0) return "-";
  return `${formatAge(Date.now() - startedAt)} ago, ${new Date(startedAt).toISOString()}`;
}

function usesText({ rssBytes, cpuSeconds }: MeasuredActor): string {
  if (rssBytes === null || cpuSeconds === null) return "-";
  return `${formatBytes(rssBytes)} of memory, ${cpuSeconds.toFixed(2)}s of processor time`;
}

function parentText({ parent }: Registration, all: readonly Registration[]): string {
  if (parent === null) return "-";
  const found = all.find(({ id }) => id.uuid === parent);
  return found === undefined ? `${parent} (not registered)` : describeActor(found.id);
}

function orNone(values: readonly string[]): readonly string[] {
  return values.length === 0 ? ["-"] : values;
}
