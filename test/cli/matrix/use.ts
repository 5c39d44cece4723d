/** The commands that use actors. */
import { clientExits, everywhere } from "../../support/cells.ts";
import type { Running } from "../../support/command-line.ts";
import type { Rows } from "../../support/matrix.ts";
import type { Stage } from "../../support/stage.ts";
import { until } from "../../support/world.ts";

const price = ["call", "market.getPrice", "BTC", '{"depth": 3}'];

/** Ctrl-C once the actor runs the function. */
async function interruptInCall(run: Running, { shop }: Stage): Promise<void> {
  await until(async () => (await shop.market.run.waiting()) > 0);
  run.interrupt();
  await until(async () => (await shop.market.run.waiting()) === 0);
}

export const use: Rows = {
  call: {
    forms: {
      "": everywhere(price, "call"),
      "--all": everywhere(["call", "market.fails", "--all"], "call", { exit: 1 }),
    },
    exits: clientExits(price, {
      failed: { words: ["call", "market.fails"] },
      usage: { words: ["call", "market"] },
      noActor: { words: ["call", "markt.getPrice"] },
      timeout: { words: ["call", "market.waits", "--timeout", "200ms"] },
      interrupted: { words: ["call", "market.waits"], during: interruptInCall },
    }),
  },
  stream: {
    forms: { "": everywhere(["stream", "market.ticks", "2"], "value", { isLines: true }) },
    exits: clientExits(["stream", "market.ticks"], {
      failed: { words: ["stream", "market.breaks"] },
      usage: { words: ["stream", "market.ticks", "--limit", "none"] },
      noActor: { words: ["stream", "markt.ticks"] },
      timeout: { words: ["stream", "market#0.ticks"], at: "mute" },
      interrupted: {
        words: ["stream", "market.pauses"],
        async during(run) {
          await run.shows('"first"\n');
          run.interrupt();
        },
      },
    }),
  },
  bench: {
    forms: {
      "": everywhere(["bench", "market.getPrice", "BTC", "-c", "4", "-d", "50ms"], "bench"),
    },
    exits: clientExits(["bench", "market.getPrice"], {
      failed: { words: ["bench", "market.fails"] },
      usage: { words: ["bench", "market.getPrice", "-c", "0"] },
      noActor: { words: ["bench", "markt.getPrice"] },
      timeout: { words: ["bench", "market#0.getPrice"], at: "mute" },
    }),
  },
  wait: {
    forms: {
      "": everywhere(["wait", "market"], "wait"),
      "--gone": everywhere(["wait", "nobody", "--gone"], "wait"),
    },
    exits: clientExits(["wait", "market"], {
      usage: { words: ["wait", "market", "--gone", "--count", "2"] },
      noRegistrar: { words: ["wait", "market", "--gone"], at: "nowhere" },
      noActor: { because: "it waits for one" },
      timeout: { words: ["wait", "market", "--count", "2", "--timeout", "200ms"] },
    }),
  },
};
