/** `furrow restart`: ends a process, and has its nursery start the next one. */
import type { ActorId } from "../../identity.ts";
import type { Command } from "../command.ts";
import { steer } from "../steered.ts";

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Asks the actor's nursery to end its process in order, and to start the next one with the same module and options. Returns
when that is registered. It doesn't count as one of the restarts that the nursery's own limits allow. A root can't be
restarted: no nursery started it.`,
  example: "furrow restart market",
  args: { min: 1, max: 1 },
  completes: "actors",
  options: { timeout: { type: "string", value: "TIME", summary: "how long it may take; default 30s" } },
  run: (context) =>
    steer(context, "restarted", (parent, uuid) => parent.run["furrow.restart"](uuid) as Promise<ActorId>),
};
