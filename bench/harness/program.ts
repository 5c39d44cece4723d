/** A process of the bench that answers questions: a program of `fixtures/` that calls `answerQuestions`. */
import { join } from "node:path";

/** How long it may take to end in order. */
const endMs = 5_000;

/** What such a program sends. */
export type Reply = { readonly answer: unknown } | { readonly failed: string };

/** Ends with its scope. */
export class Program implements AsyncDisposable {
  readonly pid: number;
  readonly #name: string;
  readonly #process: Bun.Subprocess;
  /** Settles with the answer to the current question; the first answer comes unasked, when the program is ready. */
  #answered = Promise.withResolvers<unknown>();

  private constructor(name: string, plan: { readonly folder: string }) {
    this.#name = name;
    const program = join(import.meta.dir, "../fixtures", `${name}.ts`);
    this.#process = Bun.spawn([process.execPath, program, JSON.stringify(plan)], {
      env: {
        ...process.env,
        FURROW_RUNTIME_DIR: plan.folder,
        // it ends with this process, even if that is killed
        BUN_FEATURE_FLAG_NO_ORPHANS: "1",
      },
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "json",
      ipc: (message: Reply) => this.#onReply(message),
      onExit: (_, code) =>
        this.#answered.reject(new Error(`the bench's ${name} process ended (code ${code})`)),
    });
    this.pid = this.#process.pid;
    // its end is an error only for a question
    this.#answered.promise.catch(() => {});
  }

  /** Starts `fixtures/NAME.ts`, which gets the plan as JSON in its argument. Resolves when it is ready, with its first answer. */
  static async start<First>(
    name: string,
    plan: { readonly folder: string },
  ): Promise<{ readonly program: Program; readonly first: First }> {
    const program = new Program(name, plan);
    try {
      return { program, first: (await program.#answered.promise) as First };
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Asks one question; one at a time. */
  async ask(question: object): Promise<unknown> {
    if (this.#hasEnded) throw new Error(`the bench's ${this.#name} process has ended`);
    this.#answered = Promise.withResolvers();
    this.#process.send(question);
    return await this.#answered.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#answered.promise.catch(() => {});
    if (!this.#hasEnded) this.#process.disconnect();
    const patience = setTimeout(() => this.#process.kill("SIGKILL"), endMs);
    await this.#process.exited;
    clearTimeout(patience);
  }

  get #hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  #onReply(reply: Reply): void {
    if ("failed" in reply) this.#answered.reject(new Error(reply.failed));
    else this.#answered.resolve(reply.answer);
  }
}
