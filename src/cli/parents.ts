/** Reads something from every actor that may have children, those included that come later. */
import type { Registration } from "../discovery/registration.ts";
import { asError } from "../errors.ts";
import type { Portal } from "../rpc/types.ts";
import { connectTo } from "./actors.ts";
import type { CommandContext } from "./command.ts";
import { actorsOver } from "./watching.ts";

/** The actors that have children, and all roots: those may have had some. */
export function parentsOf(actors: readonly Registration[]): Registration[] {
  const parents = new Set(actors.map(({ parent }) => parent));
  return actors.filter(({ id, parent }) => parent === null || parents.has(id.uuid));
}

/**
 * Runs `read` once for each parent, until the command is interrupted. `isLater`: whether it came up after the others. One that
 * can't be read from, because it is of an older version say, is an error on stderr, and the others go on.
 */
export async function followParents(
  context: CommandContext,
  signal: AbortSignal,
  read: (portal: Portal<unknown>, isLater: boolean) => Promise<void>,
): Promise<void> {
  const begun = new Set<string>();
  let isLater = false;
  const follow = async (actor: Registration, later: boolean): Promise<void> => {
    try {
      await using portal = await connectTo(actor, { signal });
      await read(portal.with({ signal }), later);
    } catch (error) {
      if (!signal.aborted && !(await isGone(actor, signal))) await context.error(asError(error));
    }
  };
  let registered = new Set<string>();
  const isGone = async ({ id }: Registration, until: AbortSignal): Promise<boolean> => {
    // its end may be known here before the registrar has told
    for (let tries = 0; tries < 20 && registered.has(id.uuid) && !until.aborted; tries++) await Bun.sleep(50);
    return !registered.has(id.uuid);
  };
  for await (const actors of actorsOver("*", signal)) {
    registered = new Set(actors.map(({ id }) => id.uuid));
    for (const actor of parentsOf(actors)) {
      if (begun.has(actor.id.uuid)) continue;
      begun.add(actor.id.uuid);
      void follow(actor, isLater);
    }
    isLater = true;
  }
}
