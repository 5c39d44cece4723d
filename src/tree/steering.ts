/**
 * The built-in functions that concern an actor's children: `furrow.logs`, `furrow.events`, `furrow.restart` and
 * `furrow.replace`. Each actor answers for its own children only.
 */
import type { Runtime } from "../actor/runtime.ts";
import { isSameUser } from "../channel/credentials.ts";
import { ActorNotFoundError, PermissionDeniedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { BuiltIn } from "../rpc/callee/dispatch.ts";
import { ambientTask, currentTask, leaveUnattended } from "../rpc/task.ts";
import { type ChildEvent, eventsOf } from "./child-events.ts";
import type { LogGap, LogLine } from "./logs.ts";
import { type Steerable, steerables } from "./steerable.ts";

export function steering(runtime: Runtime): Readonly<Record<string, BuiltIn>> {
  return {
    logs: {
      async *fn(given: unknown): AsyncGenerator<LogLine | LogGap> {
        checkMayRead(runtime.id, "furrow.logs");
        const { KeptOutputs } = require("./kept-output.ts") as typeof import("./kept-output.ts");
        const { readLogOptions, readLogs } = require("./logs.ts") as typeof import("./logs.ts");
        const options = readLogOptions(given);
        const { signal } = currentTask();
        leaveUnattended();
        yield* readLogs(KeptOutputs.of(runtime), options, signal);
      },
    },
    events: {
      async *fn(): AsyncGenerator<ChildEvent> {
        // the errors hold the end of the children's output
        checkMayRead(runtime.id, "furrow.events");
        const { signal } = currentTask();
        leaveUnattended();
        const events = eventsOf(runtime);
        // the generator can't be ended while it waits for the next event
        signal.addEventListener("abort", () => void events.return(), { once: true });
        yield* events;
      },
    },
    restart: {
      needsStop: true,
      fn: async (uuid: unknown): Promise<ActorId> =>
        await ofChild(runtime, uuid, (nursery, known) => nursery.restartChild(known)),
    },
    replace: {
      needsStop: true,
      fn: async (uuid: unknown, module: unknown): Promise<ActorId> => {
        checkMayRunCode(runtime.id);
        if (module !== undefined && (typeof module !== "string" || module === ""))
          throw new TypeError("replace takes the uuid of a child, and a module, or none for its own");
        return await ofChild(runtime, uuid, (nursery, known) => nursery.replaceChild(known, module));
      },
    },
  };
}

async function ofChild(
  runtime: Runtime,
  uuid: unknown,
  work: (nursery: Steerable, uuid: string) => Promise<ActorId> | undefined,
): Promise<ActorId> {
  if (typeof uuid !== "string") throw new TypeError("the uuid of a child must be a string");
  // it goes on though the caller leaves, and a drain would end the children in any case
  leaveUnattended();
  for (const nursery of steerables.find(runtime) ?? []) {
    const done = work(nursery, uuid);
    if (done !== undefined) return await done;
  }
  throw new ActorNotFoundError(`no nursery of ${describeActor(runtime.id)} has a child ${uuid}`);
}

/** Output may hold what only this user should see: others need a policy that lists the calls they may make. */
function checkMayRead(id: ActorId, name: string): void {
  const origin = ambientTask()?.origin;
  if (origin !== undefined && (isSameUser(origin.proof) || origin.permissions.mayCall !== undefined)) return;
  throw new PermissionDeniedError(
    `"${name}" of ${describeActor(id)} is for peers of the same user, and for those whose "call" in its policy includes it`,
  );
}

/** Whoever names a module chooses what runs here: the policy's `stop` isn't enough for that. */
function checkMayRunCode(id: ActorId): void {
  const origin = ambientTask()?.origin;
  if (origin !== undefined && isSameUser(origin.proof)) return;
  throw new PermissionDeniedError(`only peers of the same user may choose what ${describeActor(id)} starts`);
}
