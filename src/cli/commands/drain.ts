/** `furrow drain`: lets an actor finish what it does, and ends it. */
import type { Command } from "../command.ts";
import { endActors } from "../ending.ts";

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Takes the actor out of every lookup at once, lets its calls, streams and dialogs finish for as long as --timeout says,
cancels what still runs then, and ends it, with all actors below it. Where several have the name, write #UUID (its
beginning is enough) after it, or --all.`,
  example: "furrow drain web --all --timeout 1m",
  args: { min: 1, max: 1 },
  completes: "actors",
  options: {
    all: { type: "boolean", summary: "drain every instance" },
    timeout: { type: "string", value: "TIME", summary: "how long it may take to finish; default 30s" },
  },
  run: (context) =>
    endActors(context, {
      done: "drained",
      defaultTimeout: "30s",
      end: (portal, timeout) => portal.drainActor({ timeout }),
    }),
};
