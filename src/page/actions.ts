/** What a page may have done to an actor, if the user allowed that. */
import type { Registration } from "../discovery/registration.ts";
import { asError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { connect } from "./probe.ts";
import type { ActionName, ActionRequest, ActionResult } from "./protocol.ts";
import { Turns } from "./turns.ts";

const names: readonly string[] = ["stop", "drain", "restart"] satisfies ActionName[];
/** How long an actor may take to acknowledge that it ends; a drain lets it finish what it does. */
const stopTimeoutMs = 10_000;
const drainTimeoutMs = 30_000;
const restartTimeoutMs = 30_000;

/** Undefined if it isn't a request. */
export function readAction(body: unknown): ActionRequest | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { action, uuid } = body as { action?: unknown; uuid?: unknown };
  if (typeof action !== "string" || !names.includes(action) || typeof uuid !== "string") return undefined;
  return { action: action as ActionName, uuid };
}

/** Does it; never rejects. `find`: the registered actors. */
export async function act(
  { action, uuid }: ActionRequest,
  find: (uuid: string) => Registration | undefined,
  signal: AbortSignal,
): Promise<ActionResult> {
  const actor = find(uuid);
  if (actor === undefined) return { done: false, message: "this actor has ended" };
  const who = describeActor(actor.id);
  try {
    if (action === "restart") return await restart(actor, find, signal);
    await using portal = await connect(actor, signal, new Turns(1));
    if (portal === undefined) return { done: false, message: `${who} has ended` };
    const isDone =
      action === "stop"
        ? await portal.cancelActor({ timeout: stopTimeoutMs })
        : await portal.drainActor({ timeout: drainTimeoutMs });
    const done = action === "stop" ? "stopped" : "drained";
    return isDone
      ? { done: true, message: `${who} is ${done}` }
      : { done: false, message: `${who} didn't acknowledge it` };
  } catch (error) {
    return { done: false, message: `${who} can't be ${pastOf(action)}: ${asError(error).message}` };
  }
}

/** Its parent's nursery does it. */
async function restart(
  actor: Registration,
  find: (uuid: string) => Registration | undefined,
  signal: AbortSignal,
): Promise<ActionResult> {
  const who = describeActor(actor.id);
  const parent = actor.parent === null ? undefined : find(actor.parent);
  if (parent === undefined)
    return { done: false, message: `${who} has no nursery here that could restart it` };
  await using portal = await connect(parent, signal, new Turns(1));
  if (portal === undefined) return { done: false, message: `the parent of ${who} has ended` };
  await portal.with({ signal, timeout: restartTimeoutMs }).run["furrow.restart"](actor.id.uuid);
  return { done: true, message: `${who} is restarted` };
}

function pastOf(action: ActionName): string {
  return { stop: "stopped", drain: "drained", restart: "restarted" }[action];
}
