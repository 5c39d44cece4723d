/** Actors of one name that run different versions. */
import type { Registration } from "../../discovery/registration.ts";
import type { Finding } from "./finding.ts";

/** Looks at what actors registered as their version. */
export function findVersions(actors: readonly Registration[]): Finding[] {
  const byName = Map.groupBy(actors, ({ id }) => id.name);
  return Array.from(byName, ([name, ones]) => differing(name, ones)).flat();
}

function differing(name: string, actors: readonly Registration[]): Finding[] {
  const byVersion = Map.groupBy(actors, ({ version }) => version ?? "none");
  if (byVersion.size < 2) return [];
  const each = Array.from(
    byVersion,
    ([version, ones]) => `${version} (pid ${ones.map(({ id }) => id.pid).join(", ")})`,
  );
  return [
    {
      code: "versions-differ",
      level: "warning",
      what: `actors of this name run ${byVersion.size} versions`,
      which: `${name}: ${each.toSorted().join("; ")}`,
      whatToDo: "finish the roll-out, or end those of the version that shouldn't run any more",
    },
  ];
}
