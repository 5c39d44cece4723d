/** Signals to a root cancel its tree. Its children ignore those of the terminal (`child-main.ts`). */
import type { Runtime } from "../actor/runtime.ts";
import { ContextCancelledError } from "../errors.ts";
import { nodeFs } from "../transport/files.ts";

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Cancels the tree on the first signal, then exits; a second signal exits immediately. With `drains`, a first SIGTERM
 * drains the tree, and the next signal cancels it. Returns a function that removes the handlers.
 */
export function endOnSignals(runtime: Runtime, drains: boolean): () => void {
  let state: "up" | "draining" | "cancelling" = "up";
  const listeners = Object.entries(signalNumbers).map(([signal, number]) => {
    const listener = (): void => {
      if (state === "cancelling") process.exit(128 + number);
      const mine = drains && state === "up" && signal === "SIGTERM" ? "draining" : "cancelling";
      state = mine;
      say(`furrow: ${signal}: ${state} actor "${runtime.name}" (pid ${process.pid})\n`);
      const reason = new ContextCancelledError(runtime.id, signal);
      const ended = mine === "draining" ? runtime.drain() : runtime.cancel(reason);
      // the handlers stay until the exit, to handle a further signal, which then exits in place of this one
      void ended.finally(() => state === mine && process.exit(128 + number));
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });
  return () => {
    if (state !== "up") return;
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/** Writes to stderr if possible: after SIGHUP the terminal may be gone. */
function say(text: string): void {
  try {
    nodeFs().writeSync(2, text);
  } catch {
    // there's nowhere else to write it
  }
}
