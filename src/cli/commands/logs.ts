/** `furrow logs`: what actors wrote, as far as their parents keep it. */
import type { LogGap, LogLine, LogOptions } from "../../tree/logs.ts";
import { asError } from "../../errors.ts";
import type { Portal } from "../../rpc/types.ts";
import { connectTo, isMeant, listActors, notFound, readTarget } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { type NamePattern, readPattern } from "../glob.ts";
import { jsonDocument, jsonLine } from "../json.ts";
import { countOf, timeAgo } from "../options.ts";
import { followParents, parentsOf } from "../parents.ts";

export const command: Command = {
  usage: "[GLOB | NAME#UUID]",
  details: `Prints the output of actors that were started with output: "keep"; their parents keep the last 256 KiB of each, also for a
while after its end. Lines of stderr are among those of stdout.`,
  example: "furrow logs 'web-*' -f --tail 10",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: {
    follow: { type: "boolean", short: "f", summary: "go on with the lines to come until interrupted" },
    tail: { type: "string", short: "n", value: "N", summary: "the last N lines of each actor; default 100" },
    since: { type: "string", value: "TIME", summary: "only lines that are no older than that" },
    "no-prefix": { type: "boolean", summary: "without the actor's name before each line" },
  },
  run: logs,
};

async function logs(context: CommandContext): Promise<number> {
  const { args, flags, signal } = context;
  const tail = countOf(flags, "tail", 100, 0);
  const since = timeAgo(flags, "since");
  const wanted = readWanted(args[0] ?? "*");
  const options = { tail, ...wanted.options, ...(since !== undefined && { since }) };
  await context.client();
  if (flags["follow"] !== true) return await printKept(context, wanted, options);
  await followParents(context, signal, async (portal, isLater) => {
    // what a parent that has just come up keeps is all new
    const { tail: _tail, ...all } = options;
    const lines = linesOf(portal, { ...(isLater ? all : options), follow: true });
    for await (const line of lines) if (wanted.matches(line)) await print(line, context);
  });
  signal.throwIfAborted();
  return Exit.ok;
}

/** Which lines: what the parents can select, and what is left to select here. */
interface Wanted {
  /** NAME or NAME#UUID, unless it is a pattern. */
  readonly name: string | undefined;
  readonly options: Pick<LogOptions, "name">;
  readonly matches: (line: LogLine | LogGap) => boolean;
}

function readWanted(word: string): Wanted {
  const { name, uuid } = readTarget(word);
  const pattern: NamePattern = readPattern(uuid === undefined ? word : name);
  return {
    name: pattern.watched.endsWith("*") ? undefined : word,
    options: pattern.watched === "*" ? {} : { name: pattern.watched },
    matches: (line) =>
      pattern.matches(line.actor) &&
      (uuid === undefined || line.type === "missed" || line.uuid.startsWith(uuid)),
  };
}

function linesOf(portal: Portal<unknown>, options: LogOptions): AsyncIterable<LogLine | LogGap> {
  return portal.stream["furrow.logs"](options) as AsyncIterable<LogLine | LogGap>;
}

/** Prints what there is, in the order of time. */
async function printKept(context: CommandContext, wanted: Wanted, options: LogOptions): Promise<number> {
  const { signal, json } = context;
  const lines: LogLine[] = [];
  const errors: Error[] = [];
  const read = async (parent: Parameters<typeof connectTo>[0]): Promise<void> => {
    try {
      await using portal = await connectTo(parent, { signal });
      for await (const line of linesOf(portal.with({ signal }), options))
        if (line.type === "line" && wanted.matches(line)) lines.push(line);
    } catch (error) {
      errors.push(asError(error));
    }
  };
  const actors = await listActors("*", signal);
  await Promise.all(parentsOf(actors).map(read));
  signal.throwIfAborted();
  const isNobody = wanted.name !== undefined && !actors.some((actor) => isMeant(actor, wanted.name!));
  if (isNobody && lines.length + errors.length === 0) throw await notFound(wanted.name, signal);
  lines.sort((a, b) => a.time - b.time);
  if (json) await context.out(jsonDocument({ lines }));
  else for (const line of lines) await print(line, context);
  if (lines.length === 0 && errors.length === 0)
    await context.err('nothing is kept: start actors with output: "keep"\n');
  return await context.failures(errors);
}

async function print(line: LogLine | LogGap, context: CommandContext): Promise<void> {
  if (context.json) return await context.out(jsonLine({ ...line }));
  if (line.type === "missed")
    return await context.err(`${line.lines} lines of ${line.actor} came too fast to be shown\n`);
  const { terminal, flags } = context;
  const prefix = flags["no-prefix"] === true ? "" : `${terminal.style("dim", `${line.actor} |`)} `;
  await context.out(`${prefix}${line.text}\n`);
}
