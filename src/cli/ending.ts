/** What stop and drain share: they end one actor, or with --all each of a name. */
import type { Registration } from "../discovery/registration.ts";
import { startTimer } from "../deadline.ts";
import { asError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Portal } from "../rpc/types.ts";
import { connectTo, findInstances, onlyOne } from "./actors.ts";
import type { CommandContext } from "./command.ts";
import { UsageError } from "./exit.ts";
import { jsonDocument } from "./json.ts";
import { durationOf } from "./options.ts";

/** How one of the two does it. */
export interface Ending {
  /** "stopped", "drained". */
  readonly done: string;
  readonly defaultTimeout: string;
  /** Resolves to false when the actor hasn't acknowledged it within `timeout`, or has ended without that. */
  readonly end: (portal: Portal<unknown>, timeout: number) => Promise<boolean>;
}

/** From the acknowledgement to the end of the connection. */
const lastStepsMs = 2_000;

/** Ends what the command line names. */
export async function endActors(context: CommandContext, ending: Ending): Promise<number> {
  const { args, flags, signal } = context;
  const [word = ""] = args;
  const timeout = durationOf(flags, "timeout", ending.defaultTimeout);
  await context.client();
  const found = await findInstances(word, signal);
  const chosen = flags["all"] === true ? found : [single(found, word)];
  const errors = await Promise.all(chosen.map((actor) => endOne(actor, context, ending, timeout)));
  signal.throwIfAborted();
  const ended = chosen.filter((_, at) => errors[at] === undefined);
  if (context.json) await context.out(jsonDocument({ actors: ended }));
  const failed = errors.filter((error) => error !== undefined);
  if (chosen.length === 1 && failed[0] !== undefined) throw failed[0];
  return await context.failures(failed);
}

function single(found: readonly Registration[], word: string): Registration {
  try {
    return onlyOne(found, word);
  } catch (error) {
    throw new UsageError(`${asError(error).message}, or pass --all`);
  }
}

async function endOne(
  actor: Registration,
  context: CommandContext,
  { end, done }: Ending,
  timeout: number,
): Promise<Error | undefined> {
  const { signal } = context;
  const since = performance.now();
  try {
    await using portal = await connectTo(actor, { signal, timeout });
    const leftMs = (): number => Math.max(0, timeout - (performance.now() - since));
    const isAcknowledged = await end(portal, leftMs());
    // it acknowledges shortly before its end, or ends without having done so
    if (!(await closesWithin(portal, isAcknowledged ? lastStepsMs : leftMs(), signal)))
      throw new TimeoutError(
        "stop",
        `${describeActor(actor.id)} hasn't ended within ${timeout} ms: --timeout gives it longer`,
      );
    await context.err(`${done} ${describeActor(actor.id)}\n`);
    return undefined;
  } catch (error) {
    return asError(error);
  }
}

/** Whether the connection ends in time. */
async function closesWithin(portal: Portal<unknown>, timeout: number, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = startTimer(timeout, () => resolve(false));
  const onAbort = (): void => resolve(false);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  void portal.closed.then(() => resolve(true));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
