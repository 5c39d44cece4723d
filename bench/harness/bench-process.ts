/** A process of the bench that prints one answer: a program of `fixtures/`. */
import { join } from "node:path";

/** A process that takes this long has hung and is killed. */
const usualPatienceMs = 60_000;

export interface BenchProcessOptions {
  /** The processor to tie it to. */
  readonly cpu?: number | undefined;
  readonly patienceMs?: number;
}

/** Ends with its scope. */
export class BenchProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;

  /** Starts `fixtures/NAME.ts`, which gets the plan as JSON in its argument. */
  constructor(name: string, plan: { readonly folder: string }, options: BenchProcessOptions = {}) {
    const { cpu, patienceMs = usualPatienceMs } = options;
    this.#name = name;
    const program = join(import.meta.dir, "../fixtures", `${name}.ts`);
    const pinning = cpu === undefined ? [] : ["taskset", "-c", String(cpu)];
    this.#process = Bun.spawn([...pinning, process.execPath, program, JSON.stringify(plan)], {
      env: {
        ...process.env,
        FURROW_RUNTIME_DIR: plan.folder,
        // they end with this process, even if it is killed
        BUN_FEATURE_FLAG_NO_ORPHANS: "1",
      },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      timeout: patienceMs,
      killSignal: "SIGKILL",
    });
  }

  /** Waits for the one line of JSON that it prints. */
  async answer(): Promise<unknown> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stdout) {
      text += decoder.decode(chunk, { stream: true });
      if (text.endsWith("\n")) return JSON.parse(text);
    }
    const code = await this.#process.exited;
    throw new Error(`the bench's ${this.#name} process ended without an answer (code ${code})`);
  }

  /** Closes its input, which asks it to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stdin.end();
    await this.#process.exited;
  }
}
