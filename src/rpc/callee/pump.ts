/** Streams, the callee's end. */
import type { Outbox } from "../flow.ts";
import type { Task } from "../task.ts";

/**
 * The generator's end: sends what it yields as credit allows, and returns what it returns. When the task is aborted the
 * generator is ended with `return`, so its `finally` runs; it is waited for, then the reason is thrown.
 */
export async function pump(
  task: Task,
  generator: AsyncGenerator | Generator,
  outbox: Outbox,
  check?: (value: unknown) => Promise<unknown>,
): Promise<unknown> {
  let ending: Promise<unknown> | undefined;
  const end = (): Promise<unknown> => {
    // behind the `next` that is under way, if one is
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
      // a value that cannot be sent, say: the generator ends before the caller hears of it
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
