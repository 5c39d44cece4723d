/** Signals to a root cancel its tree. Its children ignore those of the terminal (`child-main.ts`). */
import { writeSync } from "node:fs";

import type { Runtime } from "../actor/runtime.ts";
import { ContextCancelledError } from "../errors.ts";

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Cancels the tree on the first signal, then exits; a second signal exits immediately. Returns a function that
 * removes the handlers.
 */
export function handleSignals(runtime: Runtime): () => void {
  let received = false;
  const listeners = Object.entries(signalNumbers).map(([signal, number]) => {
    const listener = (): void => {
      if (received) process.exit(128 + number);
      received = true;
      say(`furrow: ${signal}: cancelling actor "${runtime.name}" (pid ${process.pid})\n`);
      const reason = new ContextCancelledError(runtime.id, signal);
      // the handlers stay until the exit, to handle a second signal
      void runtime.cancel(reason).finally(() => process.exit(128 + number));
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });
  return () => {
    if (received) return;
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/** Writes to stderr if possible: after SIGHUP the terminal may be gone. */
function say(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // there's nowhere else to write it
  }
}
