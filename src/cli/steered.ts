/** What restart and replace share: an actor's own nursery carries them out. */
import type { Registration } from "../discovery/registration.ts";
import { ActorNotFoundError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Portal } from "../rpc/types.ts";
import { connectTo, findInstances, listActors, onlyOne } from "./actors.ts";
import type { CommandContext } from "./command.ts";
import { Exit, UsageError } from "./exit.ts";
import { jsonDocument } from "./json.ts";
import { durationOf } from "./options.ts";

/** Has the parent of the only actor that `word` stands for do something with it, which gives its next process. */
export async function steer(
  context: CommandContext,
  done: string,
  ask: (parent: Portal<unknown>, uuid: string) => Promise<ActorId>,
): Promise<number> {
  const { args, flags, signal, json } = context;
  const [word = ""] = args;
  const timeout = durationOf(flags, "timeout", "30s");
  await context.client();
  const actor = onlyOne(await findInstances(word, signal), word);
  await using parent = await connectTo(await parentOf(actor, signal), { signal, timeout });
  const next = await ask(parent.with({ signal, timeout }), actor.id.uuid);
  await context.err(
    `${done} ${describeActor(actor.id)}: it is ${describeActor(next)} now, pid ${next.pid}\n`,
  );
  if (json) await context.out(jsonDocument({ actors: [{ id: next, before: actor.id }] }));
  return Exit.ok;
}

async function parentOf({ id, parent }: Registration, signal: AbortSignal): Promise<Registration> {
  if (parent === null)
    throw new UsageError(
      `${describeActor(id)} is a root: no nursery started it that could start it again. Restart its program`,
    );
  const found = (await listActors("*", signal)).find((actor) => actor.id.uuid === parent);
  if (found === undefined)
    throw new ActorNotFoundError(`the parent of ${describeActor(id)}, ${parent}, isn't registered`);
  return found;
}
