/** `furrow wait`: until actors are there, or gone. */
import { sleep } from "../../deadline.ts";
import { RegistryUnavailableError, TimeoutError } from "../../errors.ts";
import { isMeant, watchedBy } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit, UsageError } from "../exit.ts";
import { jsonDocument } from "../json.ts";
import { countOf, durationOf } from "../options.ts";
import { actorsOver } from "../watching.ts";

/** How often to look for a registrar. */
const retryMs = 100;

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Waits until N actors of that name are registered and ready, or with --gone until none is registered. It also waits for
a registrar, so it can start before the program that it waits for; --gone doesn't. Prints nothing but, with --json, the
actors that there are.`,
  example: "furrow wait market --count 3 --timeout 10s && furrow call market.open",
  args: { min: 1, max: 1 },
  completes: "actors",
  options: {
    count: { type: "string", value: "N", summary: "how many; default 1" },
    gone: { type: "boolean", summary: "wait until there is none" },
    timeout: { type: "string", value: "TIME", summary: "how long to wait; default 30s" },
  },
  run: wait,
};

async function wait(context: CommandContext): Promise<number> {
  const { args, flags, signal, json } = context;
  const [word = ""] = args;
  const isGone = flags["gone"] === true;
  if (isGone && flags["count"] !== undefined) throw new UsageError("--count and --gone don't go together");
  const count = countOf(flags, "count", 1);
  const timeout = durationOf(flags, "timeout", "30s");
  const late = AbortSignal.timeout(timeout);
  const either = AbortSignal.any([signal, late]);
  try {
    if (isGone) await context.client();
    else await openWithin(context, either);
    for await (const actors of actorsOver(watchedBy(word), either)) {
      const found = actors.filter((actor) => isMeant(actor, word) && (isGone || actor.state === "ready"));
      if (isGone ? found.length > 0 : found.length < count) continue;
      if (json) await context.out(jsonDocument({ actors: found }));
      return Exit.ok;
    }
    throw new TimeoutError("wait", "the watch ended by itself");
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error;
    const what = isGone ? "gone" : count === 1 ? "there" : `there ${count} times`;
    throw new TimeoutError("wait", `"${word}" isn't ${what} after ${timeout} ms`);
  }
}

/** Opens the client as soon as there is a registrar. */
async function openWithin(context: CommandContext, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await context.client();
      return;
    } catch (error) {
      if (!(error instanceof RegistryUnavailableError)) throw error;
    }
    await sleep(retryMs, signal);
  }
}
