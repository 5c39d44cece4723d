/** What those who look at an actor hear of its children. */
import type { Runtime } from "../actor/runtime.ts";
import type { Family } from "../inspect/describe.ts";
import { eventsOf } from "./child-events.ts";
import { steerables } from "./steerable.ts";

export function familyOf(runtime: Runtime): Family {
  return {
    children: () => Array.from(steerables.find(runtime) ?? []).flatMap((nursery) => nursery.children),
    watch(onReady) {
      const events = eventsOf(runtime);
      const pass = async (): Promise<void> => {
        for await (const { type, id } of events)
          if (type === "started" || type === "restarted") onReady(id.uuid);
      };
      // it may lag behind: what it misses is found by the next look
      pass().catch(() => {});
      return () => void events.return();
    },
  };
}
