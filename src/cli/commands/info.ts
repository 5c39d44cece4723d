/** `furrow info`: all that is known of an actor. */
import type { Registration } from "../../discovery/registration.ts";
import { describeActor } from "../../identity.ts";
import { hostId } from "../../transport/host.ts";
import { checkActorName } from "../../wire/actor-name.ts";
import { isMeant, listActors, notFound } from "../actors.ts";
import type { Command, CommandContext, Terminal } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonDocument } from "../json.ts";
import { formatAge } from "../units.ts";

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Shows the identity, addresses, metadata and functions of each actor of that name. The verb of a function says what it is
called with: run with furrow call, stream with furrow stream, open by programs alone.`,
  example: "furrow info market",
  args: { min: 1, max: 1 },
  options: {},
  run: info,
};

async function info(context: CommandContext): Promise<number> {
  const { args, json, signal, terminal } = context;
  const [word = ""] = args;
  checkActorName(word);
  await context.client();
  const all = await listActors("*", signal);
  const found = all.filter((actor) => isMeant(actor, word));
  if (found.length === 0) throw await notFound(word, signal);
  if (json) await context.out(jsonDocument({ actors: found }));
  else await context.out(found.map((actor) => described(actor, all, terminal)).join("\n"));
  return Exit.ok;
}

/** The lines of one actor. */
function described(actor: Registration, all: readonly Registration[], terminal: Terminal): string {
  const { id, addrs, functions, metadata, version, state } = actor;
  const children = all.filter(({ parent }) => parent === id.uuid).map((child) => describeActor(child.id));
  const fields: readonly (readonly [string, readonly string[]])[] = [
    ["uuid", [id.uuid]],
    ["pid", [`${id.pid}${id.host === hostId() ? "" : ` on host ${id.host}`}`]],
    ["state", [state]],
    ["started", [startedText(actor)]],
    ["version", [version ?? "-"]],
    ["parent", [parentText(actor, all)]],
    ["children", orNone(children)],
    ["addrs", orNone(addrs)],
    ["metadata", orNone(Object.entries(metadata).map(([key, value]) => `${key}=${JSON.stringify(value)}`))],
    ["functions", orNone(functions.map(({ name, verb }) => `${verb.padEnd(6)}  ${name}`))],
  ];
  const lines = fields.flatMap(([title, values]) =>
    values.map((value, at) => `  ${(at === 0 ? title : "").padEnd(9)}  ${value}`),
  );
  return `${terminal.style("bold", describeActor(id))}\n${lines.join("\n")}\n`;
}

function startedText({ startedAt }: Registration): string {
  if (startedAt === 0) return "-";
  return `${formatAge(Date.now() - startedAt)} ago, ${new Date(startedAt).toISOString()}`;
}

function parentText({ parent }: Registration, all: readonly Registration[]): string {
  if (parent === null) return "-";
  const found = all.find(({ id }) => id.uuid === parent);
  return found === undefined ? `${parent} (not registered)` : describeActor(found.id);
}

function orNone(values: readonly string[]): readonly string[] {
  return values.length === 0 ? ["-"] : values;
}
