/** `furrow top`: what the actors do, over and over. */
import { sleep } from "../../deadline.ts";
import { listTimeoutMs, notFound, notListed } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { readPattern } from "../glob.ts";
import { jsonDocument, jsonLine } from "../json.ts";
import { followKeys } from "../keys.ts";
import { LiveView } from "../live.ts";
import { durationOf } from "../options.ts";
import { ObservedActors } from "../top/observed.ts";
import { topDocument, topLines, topOrders, topWarnings } from "../top/top-view.ts";

/** How often --once looks whether all actors have answered. */
const pollMs = 50;
const leastIntervalMs = 100;

export const command: Command = {
  usage: "[GLOB]",
  details: `Shows what each actor does, until q or Ctrl-C. Actors measure only while somebody looks, so the first numbers take an
interval.
  STATE     ready, draining, or silent: it hasn't answered for three intervals
  CPU       100% is one processor
  CALLS/S   calls, streams and dialogs that ended in the last interval
  INFL      those that run or wait now
  P50 P99   how long calls took, of the last ten seconds
  ERR       how many have failed since the view began
  RESTARTS  how often the actor's nursery has restarted it
Warnings below the table: readers that have read nothing for 5 seconds, event loops that were blocked for 250 ms, calls that
wait for their turn, and silent actors.`,
  example: "furrow top 'web-*' -n 2 --sort calls",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: {
    interval: { type: "string", short: "n", value: "TIME", summary: "how often to look; default 1s" },
    once: { type: "boolean", summary: "print it once, after an interval" },
    sort: {
      type: "string",
      value: "KEY",
      choices: Object.keys(topOrders),
      summary: "what to sort by, the largest first; default tree",
    },
  },
  run: top,
};

async function top(context: CommandContext): Promise<number> {
  const { args, flags, signal } = context;
  const intervalMs = Math.max(leastIntervalMs, durationOf(flags, "interval", "1s"));
  const pattern = readPattern(args[0] ?? "*");
  await context.client();
  const quit = new AbortController();
  const either = AbortSignal.any([signal, quit.signal]);
  const observed = new ObservedActors(pattern, intervalMs);
  const following = observed.follow(either);
  // what it fails with is thrown below
  following.catch(() => {});
  try {
    const shown =
      flags["once"] === true ? showOnce(context, observed) : showAll(context, observed, intervalMs, quit);
    await Promise.race([shown, following]);
  } catch (error) {
    if (!quit.signal.aborted || signal.aborted) throw error;
  } finally {
    quit.abort();
  }
  signal.throwIfAborted();
  return Exit.ok;
}

async function showOnce(context: CommandContext, observed: ObservedActors): Promise<void> {
  const latest = performance.now() + listTimeoutMs;
  while (!observed.isComplete) {
    if (!observed.isKnown && performance.now() > latest) throw notListed();
    await sleep(pollMs, context.signal);
  }
  const actors = observed.actors();
  const [name] = context.args;
  if (actors.length === 0 && name !== undefined && !readPattern(name).watched.endsWith("*"))
    throw await notFound(name, context.signal);
  if (context.json) {
    await context.out(jsonDocument({ actors: actors.map(topDocument), warnings: topWarnings(actors) }));
    return;
  }
  await context.lines(linesOf(context, observed));
}

async function showAll(
  context: CommandContext,
  observed: ObservedActors,
  intervalMs: number,
  quit: AbortController,
): Promise<void> {
  const { terminal, json, signal } = context;
  const isLive = terminal.isTerminal && !json;
  const view = new LiveView(context);
  using _keys = isLive ? followKeys((key) => (key === "q" ? quit.abort() : undefined)) : undefined;
  const either = AbortSignal.any([signal, quit.signal]);
  // a first frame soon, with what is known of the actors before their numbers
  for (let waitMs = Math.min(pollMs * 4, intervalMs); ; waitMs = intervalMs) {
    await sleep(waitMs, either);
    // until the registrar has answered, "0 actors" would be a guess
    if (!observed.isKnown) continue;
    if (json) {
      const actors = observed.actors();
      await context.out(
        jsonLine({ at: Date.now(), actors: actors.map(topDocument), warnings: topWarnings(actors) }),
      );
    } else if (isLive) await view.draw(linesOf(context, observed));
    else await context.lines([...linesOf(context, observed), ""]);
  }
}

function linesOf({ flags, terminal }: CommandContext, observed: ObservedActors): string[] {
  const order = (flags["sort"] ?? "tree") as string;
  return topLines(observed.actors(), order, terminal, Date.now());
}
