/** The actors as rows of a tree: each below the one that started it. Pure. */
import type { ActorInfo } from "../protocol.ts";

export interface TreeRow {
  readonly actor: ActorInfo;
  /** 1 at the top. */
  readonly level: number;
  /** The lines before the name: "│ ├─ ". */
  readonly lines: string;
  readonly childCount: number;
  readonly isOpen: boolean;
  /** Among its siblings, from 1. */
  readonly position: number;
  readonly siblings: number;
}

/**
 * In the order of the tree: siblings by name, and those of one name by age. With a filter only the matching actors and those above
 * them, and then none is folded. An actor whose parent isn't there is at the top.
 */
export function treeRows(
  actors: Iterable<ActorInfo>,
  folded: ReadonlySet<string>,
  filter: string,
): TreeRow[] {
  const all = new Map(Array.from(actors, (actor) => [actor.uuid, actor]));
  const children = new Map<string | null, ActorInfo[]>();
  for (const actor of all.values()) {
    const parent = actor.parent !== null && all.has(actor.parent) ? actor.parent : null;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [actor]);
    else siblings.push(actor);
  }
  const shown = filter === "" ? undefined : matching(all, filter);
  const rows: TreeRow[] = [];
  const visit = (parent: string | null, level: number, before: string): void => {
    const siblings = (children.get(parent) ?? []).filter(({ uuid }) => shown?.has(uuid) ?? true);
    siblings.sort(byNameAndAge);
    for (const [at, actor] of siblings.entries()) {
      const isLast = at === siblings.length - 1;
      const childCount = children.get(actor.uuid)?.length ?? 0;
      const isOpen = shown !== undefined || !folded.has(actor.uuid);
      const lines = level === 1 ? "" : `${before}${isLast ? "└─ " : "├─ "}`;
      rows.push({ actor, level, lines, childCount, isOpen, position: at + 1, siblings: siblings.length });
      if (isOpen) visit(actor.uuid, level + 1, level === 1 ? "" : `${before}${isLast ? "   " : "│  "}`);
    }
  };
  visit(null, 1, "");
  return rows;
}

function byNameAndAge(one: ActorInfo, other: ActorInfo): number {
  return (
    compareNames(one.name, other.name) || one.startedAt - other.startedAt || (one.uuid < other.uuid ? -1 : 1)
  );
}

const collator = new Intl.Collator(undefined, { numeric: true });

function compareNames(one: string, other: string): number {
  return collator.compare(one, other);
}

/** The uuids of the actors whose name, uuid or pid matches, and of all above them. */
function matching(all: ReadonlyMap<string, ActorInfo>, filter: string): Set<string> {
  const wanted = filter.toLowerCase();
  const shown = new Set<string>();
  for (const { name, uuid, pid, parent } of all.values()) {
    if (!name.toLowerCase().includes(wanted) && !uuid.startsWith(wanted) && String(pid) !== wanted) continue;
    shown.add(uuid);
    for (let above = parent; above !== null && !shown.has(above); above = all.get(above)?.parent ?? null)
      if (all.has(above)) shown.add(above);
      else break;
  }
  return shown;
}
