/** `furrow tree`: the actors under those that started them. */
import type { Registration } from "../../discovery/registration.ts";
import { actorCells, actorTable, measured } from "../actor-table.ts";
import { isMeant, listActors, notFound } from "../actors.ts";
import { drawn, forestOf, type TreeNode } from "../actor-tree.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonDocument } from "../json.ts";
import { watchView } from "../watching.ts";

export const command: Command = {
  usage: "[NAME[#UUID]]",
  details: `Shows each actor below the one that started it. An actor whose parent isn't registered is at the top. With a NAME,
only the actors of that name and those below them.`,
  example: "furrow tree shop",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: { watch: { type: "boolean", short: "w", summary: "show every change until interrupted" } },
  run: tree,
};

async function tree(context: CommandContext): Promise<number> {
  const { args, flags, json, signal, terminal } = context;
  const [word] = args;
  await context.client();
  const lines = (actors: readonly Registration[]): readonly string[] => {
    const now = Date.now();
    const rows = drawn(chosen(actors, word)).map(({ actor, name }) => actorCells(actor, terminal, now, name));
    return actorTable(terminal).lines(rows);
  };
  if (flags["watch"] === true)
    return await watchView(
      context,
      { pattern: "*", isShown: (actor, all) => word === undefined || isBelow(actor, word, all) },
      lines,
    );
  const actors = await listActors("*", signal);
  const nodes = chosen(actors, word);
  if (word !== undefined && nodes.length === 0) throw await notFound(word, signal);
  if (json) await context.out(jsonDocument({ trees: nodes }));
  else await context.lines(lines(actors));
  return Exit.ok;
}

/** Whether it is one that `word` stands for, or below one. */
function isBelow(actor: Registration, word: string, all: ReadonlyMap<string, Registration>): boolean {
  const passed = new Set<Registration>();
  for (let one: Registration | undefined = actor; one !== undefined && !passed.has(one);) {
    if (isMeant(one, word)) return true;
    passed.add(one);
    one = one.parent === null ? undefined : all.get(one.parent);
  }
  return false;
}

/** The trees whose top has that name; all trees without one. */
function chosen(actors: readonly Registration[], word: string | undefined): readonly TreeNode[] {
  const forest = forestOf(measured(actors));
  if (word === undefined) return forest;
  return topsOf(forest, (actor) => isMeant(actor, word));
}

function topsOf(nodes: readonly TreeNode[], isChosen: (actor: Registration) => boolean): TreeNode[] {
  return nodes.flatMap((node) => (isChosen(node) ? [node] : topsOf(node.children, isChosen)));
}
