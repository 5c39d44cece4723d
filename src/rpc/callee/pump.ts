/** The callee's end of a stream. */
import type { Outbox } from "../flow.ts";
import type { Task } from "../task.ts";

/**
 * Sends what a generator yields, as credit allows, and returns what it returns. If the task is aborted, ends the
 * generator with `return` so that its `finally` runs, waits for it, and throws the reason of the abort.
 */
export async function pump(
  task: Task,
  generator: AsyncGenerator | Generator,
  outbox: Outbox,
  check?: (value: unknown) => Promise<unknown>,
): Promise<unknown> {
  let ending: Promise<unknown> | undefined;
  const end = (): Promise<unknown> => {
    // queues after the `next` in progress, if there is one
    ending ??= Promise.resolve(generator.return(undefined));
    ending.catch(() => {}); // awaited below
    return ending;
  };
  const stopListening = task.onAbort((reason) => {
    outbox.close(reason);
    void end();
  });
  try {
    for (;;) {
      const step = await generator.next();
      if (task.aborted) break;
      if (step.done) return step.value;
      const waiting = outbox.offer(check === undefined ? step.value : await check(step.value));
      if (waiting !== undefined) await waiting;
    }
  } catch (error) {
    if (!task.aborted) {
      // for example a value that can't be sent: the generator ends before the caller gets the error
      await end();
      throw error;
    }
    if (error !== task.reason) throw error;
  } finally {
    stopListening();
  }
  await end();
  throw task.reason;
}
