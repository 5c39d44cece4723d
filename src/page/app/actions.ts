/** Asks the server to do something to an actor. */
import type { ActionName, ActionRequest, ActionResult } from "../protocol.ts";

export async function request(action: ActionName, uuid: string): Promise<ActionResult> {
  const body: ActionRequest = { action, uuid };
  try {
    const response = await fetch("action", { method: "POST", body: JSON.stringify(body) });
    if (response.headers.get("content-type")?.startsWith("application/json"))
      return (await response.json()) as ActionResult;
    return { done: false, message: await response.text() };
  } catch {
    return { done: false, message: "the server can't be reached" };
  }
}
