/** `furrow stream`: what a generator yields, a line each. */
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonValue } from "../json.ts";
import { countOf } from "../options.ts";
import { portalTo, readCall } from "../target.ts";

export const command: Command = {
  usage: "NAME[#UUID].FN [ARG]...",
  details: `Prints each item of a stream as JSON in one line, until the stream ends, Ctrl-C, or the reader of a pipe ends.
The actor waits for a reader that is slow. An ARG is JSON; a word that isn't JSON is a string.`,
  example: "furrow stream market.ticks BTC --limit 3",
  args: { min: 1, max: Number.POSITIVE_INFINITY },
  completes: "streams",
  options: {
    limit: { type: "string", short: "n", value: "N", summary: "end after N items" },
    raw: { type: "boolean", short: "r", summary: "print a string as it is, without quotes" },
  },
  run: stream,
};

async function stream(context: CommandContext): Promise<number> {
  const { args, flags, signal } = context;
  const { actor, fn, args: values } = readCall(args);
  let left = countOf(flags, "limit", Number.POSITIVE_INFINITY);
  await context.client();
  await using portal = await portalTo(actor, context);
  const items = portal.with({ signal }).stream[fn](...values) as AsyncIterable<unknown>;
  for await (const item of items) {
    const isRaw = flags["raw"] === true && typeof item === "string";
    await context.out(`${isRaw ? item : jsonValue(item)}\n`);
    if (--left === 0) break;
  }
  return Exit.ok;
}
