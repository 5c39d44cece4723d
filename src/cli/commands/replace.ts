/** `furrow replace`: puts another version of an actor in its place, without a gap. */
import { resolve } from "node:path";

import type { ActorId } from "../../identity.ts";
import type { Command } from "../command.ts";
import { UsageError } from "../exit.ts";
import { steer } from "../steered.ts";

export const command: Command = {
  usage: "NAME[#UUID] FILE",
  details: `Asks the actor's nursery to start a process with the module FILE, waits until that is registered, and drains the old one:
lookups find one of the two at any time, and what has begun gets 30 seconds to finish. Only for actors of the same user.`,
  example: "furrow replace market ./market-v2.ts",
  args: { min: 2, max: 2 },
  completes: "actors",
  options: { timeout: { type: "string", value: "TIME", summary: "how long it may take; default 30s" } },
  async run(context) {
    const [, file = ""] = context.args;
    const path = resolve(file);
    if (!(await Bun.file(path).exists())) throw new UsageError(`there is no file ${path}`);
    return await steer(
      context,
      "replaced",
      (parent, uuid) => parent.run["furrow.replace"](uuid, path) as Promise<ActorId>,
    );
  },
};
