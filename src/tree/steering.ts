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
import { type ChildEvent, eventsOf, pastOf } from "./child-events.ts";
import type { PastEvent } from "./child-history.ts";
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
      async *fn(given: unknown): AsyncGenerator<ChildEvent | PastEvent> {
        // the errors hold the end of the children's output
        checkMayRead(runtime.id, "furrow.events");
        const { since, follow = true } = readEventOptions(given);
        const { signal } = currentTask();
        leaveUnattended();
        // both in one turn, so that nothing is missed or told twice
        const past = since === undefined ? [] : pastOf(runtime, since);
        const events = follow ? eventsOf(runtime) : undefined;
        // the generator can't be ended while it waits for the next event
        signal.addEventListener("abort", () => void events?.return(), { once: true });
        yield* past;
        if (events !== undefined) yield* events;
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

/** What `furrow.events` takes. */
export interface EventOptions {
  /** Begin with what is remembered from this time on, in milliseconds since 1970; default: with nothing. */
  readonly since?: number;
  /** Whether to go on with what happens; default true. */
  readonly follow?: boolean;
}

/** The options of a peer. @throws {TypeError} when one is malformed */
function readEventOptions(given: unknown = {}): EventOptions {
  if (typeof given !== "object" || given === null) throw new TypeError("events takes an object of options");
  const { since, follow } = given as Record<string, unknown>;
  if (since !== undefined && !Number.isFinite(since))
    throw new TypeError("options of events: since must be in milliseconds since 1970");
  if (follow !== undefined && typeof follow !== "boolean")
    throw new TypeError("options of events: follow must be true or false");
  return given;
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
