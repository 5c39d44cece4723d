/** Ctrl-C and its kin: the first signal ends the command in order, the second at once. */

/** 128 and the number of the signal. */
const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type Signal = keyof typeof codes;

/** The command was told to end. */
export class SignalError extends Error {
  override readonly name = "SignalError";
  readonly exitCode: number;
  readonly signal: Signal;

  constructor(signal: Signal) {
    super(`ended by ${signal}`);
    this.signal = signal;
    this.exitCode = codes[signal];
  }
}

/** Aborts the controller on the first signal. */
export function followSignals(ended: AbortController): Disposable {
  const undo = (Object.keys(codes) as Signal[]).map((signal) => {
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
