/** What signals do in a root: they cancel the tree. Its children leave those of the terminal to it (`child-main.ts`). */
import { writeSync } from "node:fs";

import type { Runtime } from "../actor/runtime.ts";
import { ContextCancelledError } from "../errors.ts";

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Cancels the tree on the first signal and exits; a second one exits at once. Returns how to stop listening. */
export function handleSignals(runtime: Runtime): () => void {
  let received = false;
  const listeners = Object.entries(signalNumbers).map(([signal, number]) => {
    const listener = (): void => {
      if (received) process.exit(128 + number);
      received = true;
      say(`furrow: ${signal}: cancelling actor "${runtime.name}" (pid ${process.pid})\n`);
      const reason = new ContextCancelledError(runtime.id, signal);
      // the handlers stay until the exit, so that a second signal is heard
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

/** Writes to stderr as far as that goes: after SIGHUP there may be no terminal any more. */
function say(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // there is no other place to say it
  }
}
