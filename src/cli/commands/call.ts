/** `furrow call`: one call, to one instance or to each. */
import type { Registration } from "../../discovery/registration.ts";
import { asError, TimeoutError } from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import type { Portal } from "../../rpc/types.ts";
import { connectTo, findInstances } from "../actors.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit, exitCodeOf } from "../exit.ts";
import { jsonDocument, jsonValue } from "../json.ts";
import { durationOf } from "../options.ts";
import { type CallTarget, portalTo, readCall, readWord } from "../target.ts";

export const command: Command = {
  usage: "NAME[#UUID].FN [ARG]...",
  details: `Calls an exported function and prints what it returns as JSON; a function that returns nothing prints nothing.
An ARG is JSON; a word that isn't JSON is a string, so BTC is "BTC" and 5 is a number: write '"5"' for the string.
The call goes to the actor that registered last, unless #UUID (its beginning is enough) or --all says otherwise.`,
  example: `furrow call market.getPrice BTC '{"depth": 3}'`,
  args: { min: 1, max: Number.POSITIVE_INFINITY },
  completes: "functions",
  options: {
    all: { type: "boolean", summary: "call every instance; a line for each" },
    timeout: { type: "string", value: "TIME", summary: "how long the call may take; default 5s" },
    stdin: { type: "boolean", summary: "read a last argument from stdin" },
    raw: { type: "boolean", short: "r", summary: "print a string as it is, without quotes" },
  },
  run: call,
};

/** What one instance did. */
type Outcome = { readonly actor: ActorId } & ({ readonly value: unknown } | { readonly error: Error });

async function call(context: CommandContext): Promise<number> {
  const { args, flags, signal } = context;
  const named = readCall(args);
  const timeout = durationOf(flags, "timeout", "5s");
  const last = flags["stdin"] === true ? [readWord((await Bun.stdin.text()).trimEnd())] : [];
  const target = { ...named, args: [...named.args, ...last] };
  await context.client();
  if (flags["all"] === true) return await callAll(target, context, timeout);
  await using portal = await portalTo(target.actor, context, timeout);
  const value = await callOn(portal, target, timeout, signal);
  if (context.json) await context.out(jsonDocument({ results: [{ actor: portal.id, value }] }));
  else if (value !== undefined) await context.out(`${textOf(value, context)}\n`);
  return Exit.ok;
}

async function callOn(
  portal: Portal<unknown>,
  { fn, args }: CallTarget,
  timeout: number,
  signal: AbortSignal,
): Promise<unknown> {
  try {
    return (await portal.with({ timeout, signal }).run[fn](...args)) as unknown;
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    const message = `${describeActor(portal.id)} didn't answer ${fn} within ${timeout} ms: --timeout gives it longer`;
    throw new TimeoutError(error.stage, message, { cause: error });
  }
}

/** Calls every instance at once, and prints their outcomes in the order of their registration. */
async function callAll(target: CallTarget, context: CommandContext, timeout: number): Promise<number> {
  const { signal, json } = context;
  const actors = (await findInstances(target.actor, signal)).filter(({ state }) => state === "ready");
  const outcomes = await Promise.all(actors.map((actor) => outcomeOf(actor, target, timeout, signal)));
  signal.throwIfAborted();
  if (json) await context.out(jsonDocument({ results: outcomes }));
  else for (const outcome of outcomes) await print(outcome, context);
  const failed = outcomes.find((outcome) => "error" in outcome);
  return failed === undefined ? Exit.ok : exitCodeOf(failed.error);
}

async function outcomeOf(
  actor: Registration,
  target: CallTarget,
  timeout: number,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    await using portal = await connectTo(actor, { signal, timeout });
    return { actor: actor.id, value: await callOn(portal, target, timeout, signal) };
  } catch (error) {
    return { actor: actor.id, error: asError(error) };
  }
}

async function print(outcome: Outcome, context: CommandContext): Promise<void> {
  if ("value" in outcome) {
    await context.out(`${describeActor(outcome.actor)}  ${textOf(outcome.value, context, false)}\n`);
    return;
  }
  await context.error(outcome.error);
}

/** `mayWrap`: spread over lines if a terminal isn't wide enough. */
function textOf(value: unknown, { flags, terminal }: CommandContext, mayWrap = true): string {
  if (flags["raw"] === true && typeof value === "string") return value;
  return jsonValue(value, mayWrap ? terminal.columns : undefined);
}
