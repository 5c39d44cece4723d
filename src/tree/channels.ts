/** Opens the channels of `node:diagnostics_channel` in a process whose program names that module, or that `FURROW_CHANNELS` asks to. */
import type { Runtime } from "../actor/runtime.ts";
import { publishChannels } from "../inspect/channels.ts";
import { logger } from "../log.ts";
import { type ChildEvent, eventsOf } from "./child-events.ts";

const log = logger("tree");

const occurrences = {
  started: "actor.started",
  restarted: "actor.restarted",
  died: "actor.ended",
  "gave-up": undefined,
} as const satisfies Record<ChildEvent["type"], string | undefined>;

export function openChannels(runtime: Runtime): void {
  publishChannels(runtime, (tell) => {
    const events = eventsOf(runtime);
    const pass = async (): Promise<void> => {
      for await (const { type, id: child, at, error } of events) {
        const occurrence = occurrences[type];
        if (occurrence !== undefined) tell(occurrence, { child, at, ...(error && { error }) });
      }
    };
    pass().catch((error: unknown) => log.error?.(`furrow.actor.* channels: ${String(error)}`));
    return () => void events.return?.();
  });
}
