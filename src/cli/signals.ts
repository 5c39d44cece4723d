/** Ctrl-C and its kin: the first signal ends the command in order, the second at once. */
import { Exit } from "./exit.ts";

const codes = { SIGINT: Exit.interrupted, SIGTERM: 143, SIGHUP: 129 } as const;

/** The command was told to end. */
export class SignalError extends Error {
  override readonly name = "SignalError";
  readonly exitCode: number;

  constructor(signal: keyof typeof codes) {
    super(`ended by ${signal}`);
    this.exitCode = codes[signal];
  }
}

/** Aborts the controller on the first signal. */
export function followSignals(ended: AbortController): Disposable {
  const undo = (Object.keys(codes) as (keyof typeof codes)[]).map((signal) => {
    const onSignal = (): void => {
      if (ended.signal.aborted) process.exit(codes[signal]);
      ended.abort(new SignalError(signal));
    };
    process.on(signal, onSignal);
    return () => process.off(signal, onSignal);
  });
  return {
    [Symbol.dispose]() {
      for (const one of undo) one();
    },
  };
}
