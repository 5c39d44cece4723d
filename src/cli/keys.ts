/** The keys that the user presses while a view is drawn. */

const interrupt = "\u0003";

/** Calls `onKey` with each key; does nothing if stdin isn't a terminal. Ctrl-C still interrupts. */
export function followKeys(onKey: (key: string) => void): Disposable {
  const { stdin } = process;
  if (!stdin.isTTY) return { [Symbol.dispose]() {} };
  const onData = (data: Buffer): void => {
    const key = data.toString();
    // the terminal passes it on instead of sending the signal
    if (key === interrupt) process.kill(process.pid, "SIGINT");
    else onKey(key);
  };
  stdin.setRawMode(true);
  stdin.on("data", onData);
  return {
    [Symbol.dispose]() {
      stdin.off("data", onData);
      stdin.setRawMode(false);
      stdin.pause();
    },
  };
}
