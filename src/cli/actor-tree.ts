/** Actors as trees, by who started whom. Pure. */
import type { Registration } from "../discovery/registration.ts";
import type { MeasuredActor } from "./actor-table.ts";

/** An actor with those that it started. */
export type TreeNode<A extends Registration = MeasuredActor> = A & {
  readonly children: readonly TreeNode<A>[];
};

/** The trees of these actors, oldest first at each level. An actor whose parent isn't among them is the top of one. */
export function forestOf<A extends Registration>(actors: readonly A[]): TreeNode<A>[] {
  const uuids = new Set(actors.map(({ id }) => id.uuid));
  const isTop = ({ id, parent }: Registration): boolean =>
    parent === null || parent === id.uuid || !uuids.has(parent);
  const byParent = Map.groupBy(
    actors.toSorted((a, b) => a.startedAt - b.startedAt),
    (actor) => (isTop(actor) ? null : actor.parent),
  );
  const below = (parent: string | null): TreeNode<A>[] =>
    (byParent.get(parent) ?? []).map((actor) => ({ ...actor, children: below(actor.id.uuid) }));
  return below(null);
}

/** The nodes from top to bottom, each with its name and the lines that lead to it. */
export function drawn<A extends Registration>(
  nodes: readonly TreeNode<A>[],
): { readonly actor: A; readonly name: string }[] {
  const rows = (node: TreeNode<A>, before: string, below: string): { actor: A; name: string }[] => [
    { actor: node, name: before + node.id.name },
    ...node.children.flatMap((child, at) => {
      const isLast = at === node.children.length - 1;
      return rows(child, `${below}${isLast ? "└─ " : "├─ "}`, `${below}${isLast ? "   " : "│  "}`);
    }),
  ];
  return nodes.flatMap((node) => rows(node, "", ""));
}
