/** Runs the command line in a process of its own. */
import { join } from "node:path";

import { linesOf } from "./command-line.ts";
import { until, type World } from "./world.ts";

const main = join(import.meta.dir, "../../src/cli/main.ts");

/** A command of the command line, whose lines can be awaited. */
export class Command implements AsyncDisposable {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  /** All that it has written to stderr, once it has ended. */
  readonly stderr: Promise<string>;
  #errors = "";
  readonly #lines: AsyncIterator<string>;

  constructor(
    world: World,
    words: readonly string[],
    env: Record<string, string> = {},
    wrapper: string[] = [],
  ) {
    this.process = Bun.spawn([...wrapper, process.execPath, main, ...words], {
      env: { ...process.env, ...world.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.stderr = this.#readErrors();
    this.#lines = linesOf(this.process.stdout);
  }

  /** The next line on stdout. */
  async line(): Promise<string> {
    const { value } = await this.#lines.next();
    return (value as string | undefined) ?? "";
  }

  /** Waits until it has written this to stderr, `times` times. */
  async says(text: string, times = 1): Promise<void> {
    await until(() => this.#errors.split(text).length > times, 10_000);
  }

  async ended(signal?: NodeJS.Signals): Promise<number> {
    if (signal !== undefined) this.process.kill(signal);
    return await this.process.exited;
  }

  async #readErrors(): Promise<string> {
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stderr) this.#errors += decoder.decode(chunk, { stream: true });
    return this.#errors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }
}
