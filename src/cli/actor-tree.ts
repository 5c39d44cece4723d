/** Actors as trees, by who started whom. Pure. */
import type { Registration } from "../discovery/registration.ts";

/** An actor with those that it started. */
export interface TreeNode extends Registration {
  readonly children: readonly TreeNode[];
}

/** The trees of these actors, oldest first at each level. An actor whose parent isn't among them is the top of one. */
export function forestOf(actors: readonly Registration[]): TreeNode[] {
  const uuids = new Set(actors.map(({ id }) => id.uuid));
  const isTop = ({ id, parent }: Registration): boolean =>
    parent === null || parent === id.uuid || !uuids.has(parent);
  const byParent = Map.groupBy(
    actors.toSorted((a, b) => a.startedAt - b.startedAt),
    (actor) => (isTop(actor) ? null : actor.parent),
  );
  const below = (parent: string | null): TreeNode[] =>
    (byParent.get(parent) ?? []).map((actor) => ({ ...actor, children: below(actor.id.uuid) }));
  return below(null);
}

/** The nodes from top to bottom, each with its name and the lines that lead to it. */
export function drawn(nodes: readonly TreeNode[]): { readonly actor: Registration; readonly name: string }[] {
  const rows = (node: TreeNode, before: string, below: string): { actor: Registration; name: string }[] => [
    { actor: node, name: before + node.id.name },
    ...node.children.flatMap((child, at) => {
      const isLast = at === node.children.length - 1;
      return rows(child, `${below}${isLast ? "└─ " : "├─ "}`, `${below}${isLast ? "   " : "│  "}`);
    }),
  ];
  return nodes.flatMap((node) => rows(node, "", ""));
}
