/** Actors that are registered, and yet can't answer: their processes are stopped. */
import { type Finding, howToResume } from "./finding.ts";
import { isFrozen } from "./processes.ts";

/** Looks at processes of this host. */
export function findFrozenActors(
  processes: readonly { readonly name: string; readonly pid: number }[],
): Finding[] {
  return processes
    .filter(({ pid }) => isFrozen(pid))
    .map(({ name, pid }) => ({
      code: "actor-frozen",
      level: "error",
      what: "the actor is stopped (state T)",
      which: `${name}, pid ${pid}`,
      whatToDo: howToResume(pid),
    }));
}
