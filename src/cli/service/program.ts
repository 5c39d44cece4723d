/** Runs a program as a service: restarts it when it ends, and ends it in order. */
import { sleep } from "../../deadline.ts";
import { describeEnd } from "../process-end.ts";
import { RestartBudget, type RestartPolicy } from "../../tree/restart.ts";

export interface ProgramOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly restart: RestartPolicy;
  /** How long it may take to end when it is asked to, before it is killed. */
  readonly stopMs: number;
  /** Merged over this process's environment; undefined: removed. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted to end it. */
  readonly signal: AbortSignal;
  /** The signal that asks it to end, once `signal` is aborted. */
  readonly stopSignal: () => NodeJS.Signals;
  /** Receives a line for each thing that happens. */
  readonly tell: (line: string) => Promise<void>;
}

/** How a program has ended for good. */
export interface ProgramEnd {
  readonly pid: number;
  /** Undefined when it was done; otherwise why not. */
  readonly failure: string | undefined;
}

/** Resolves when it has ended, and isn't restarted. */
export async function superviseProgram(options: ProgramOptions): Promise<ProgramEnd> {
  const { file, restart, signal, tell } = options;
  const budget = new RestartBudget(restart);
  for (;;) {
    const { pid, failure } = await runOnce(options);
    const how = `${file} (pid ${pid}) ${failure ?? "ended with code 0"}`;
    if (signal.aborted) return { pid, failure };
    const wait = budget.next(failure !== undefined, performance.now());
    if (wait === undefined) {
      const isUsedUp = budget.appliesTo(failure !== undefined);
      const { maxRestarts, withinMs } = restart;
      await tell(
        isUsedUp
          ? `${how}: not restarting it, ${maxRestarts} restarts within ${withinMs} ms are used up`
          : how,
      );
      return { pid, failure };
    }
    await tell(`${how}: restarting it in ${wait} ms`);
    // ends early when it is told to end
    await sleep(wait, signal).catch(() => {});
    if (signal.aborted) return { pid, failure: undefined };
  }
}

async function runOnce({
  file,
  args,
  env,
  stopMs,
  signal,
  stopSignal,
  tell,
}: ProgramOptions): Promise<ProgramEnd> {
  // of a group of its own, so that Ctrl-C reaches it once, from here; and it never outlives this process
  const child = Bun.spawn([process.execPath, "--no-orphans", file, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  let timer: Timer | undefined;
  const onAbort = (): void => {
    child.kill(stopSignal());
    timer = setTimeout(() => {
      void tell(`${file} (pid ${child.pid}) did not end within ${stopMs} ms: killing it`);
      child.kill("SIGKILL");
    }, stopMs);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  await child.exited;
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
  return { pid: child.pid, failure: child.exitCode === 0 ? undefined : describeEnd(child) };
}
