/** `furrow stop`: ends an actor, and those below it. */
import type { Command } from "../command.ts";
import { endActors } from "../ending.ts";

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Asks the actor to end in order, with all actors below it, and waits until it has. What it is doing is cancelled; furrow
drain lets that finish. If a nursery restarts it, another process takes its place. Where several have the name, write
#UUID (its beginning is enough) after it, or --all.`,
  example: "furrow stop market#8eda7a48",
  args: { min: 1, max: 1 },
  completes: "actors",
  options: {
    all: { type: "boolean", summary: "end every instance" },
    timeout: { type: "string", value: "TIME", summary: "how long to wait for the end; default 5s" },
  },
  run: (context) =>
    endActors(context, {
      done: "stopped",
      defaultTimeout: "5s",
      end: (portal, timeout) => portal.cancelActor({ timeout }),
    }),
};
