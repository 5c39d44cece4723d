/** Runs the command line as its users do: in a pipe, or in a terminal. */
import { join } from "node:path";

import { Shown } from "./shown.ts";

const main = join(import.meta.dir, "../../src/cli/main.ts");

export type Env = Readonly<Record<string, string>>;

/** What a command did. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment of a command, whatever the tests themselves run in. */
function environment(env: Env): Record<string, string | undefined> {
  const { NO_COLOR: _no, FORCE_COLOR: _force, COLUMNS: _columns, ...own } = process.env;
  return { ...own, TERM: "xterm-256color", ...env };
}

/** Starts a command with pipes. */
export function start(env: Env, ...args: string[]): Bun.Subprocess<"pipe", "pipe", "pipe"> {
  return Bun.spawn([process.execPath, main, ...args], {
    env: environment(env),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs a command in a pipe. `stdin`: what it can read. */
export async function furrow(env: Env, args: readonly string[], stdin = ""): Promise<Outcome> {
  const child = start(env, ...args);
  await child.stdin.write(stdin);
  await child.stdin.end();
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { exitCode, stdout, stderr };
}

/** The lines of a pipe, one by one. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

/** Runs a line of a shell, in which `furrow` is the command. */
export async function shell(env: Env, line: string): Promise<Outcome> {
  const child = Bun.spawn(["bash", "-c", `furrow() { "$BUN" "$MAIN" "$@"; }; ${line}`], {
    env: { ...environment(env), BUN: process.execPath, MAIN: main },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { exitCode, stdout, stderr };
}

/** A command that runs, in a pipe or in a terminal. */
export interface Running {
  /** What it has written: to stdout, or to the terminal. */
  readonly text: string;
  /** Resolves when the text matches. */
  shows(expected: RegExp | string): Promise<void>;
  /** As Ctrl-C does. */
  interrupt(): void;
}

/** A command in a pipe. */
export class PipeRun implements Running, AsyncDisposable {
  readonly process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #shown = new Shown();
  readonly #stderr: Promise<string>;
  readonly #read: Promise<void>;

  constructor(env: Env, args: readonly string[], stdin = "") {
    this.process = start(env, ...args);
    void this.process.stdin.write(stdin);
    void this.process.stdin.end();
    this.#stderr = this.process.stderr.text();
    this.#read = this.#readAll();
  }

  get text(): string {
    return this.#shown.text;
  }

  async shows(expected: RegExp | string): Promise<void> {
    await this.#shown.until(expected, this.#read);
  }

  interrupt(): void {
    this.process.kill("SIGINT");
  }

  /** Waits for its end. */
  async outcome(): Promise<Outcome> {
    const [exitCode, stderr] = await Promise.all([this.process.exited, this.#stderr, this.#read]);
    return { exitCode, stdout: this.text, stderr };
  }

  async #readAll(): Promise<void> {
    for await (const bytes of this.process.stdout) this.#shown.add(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }
}

/** A command in a terminal. */
export class TerminalRun implements Running, AsyncDisposable {
  readonly process: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;
  readonly #shown = new Shown();
  /** Resolves when all that was written has arrived. */
  readonly #read: Promise<void>;

  constructor(env: Env, args: readonly string[], size: { cols?: number; rows?: number } = {}) {
    const read = Promise.withResolvers<void>();
    // made by spawn: only then is it the terminal that sends Ctrl-C as a signal
    const terminal: Bun.TerminalOptions = {
      cols: size.cols ?? 100,
      rows: size.rows ?? 24,
      data: (_, bytes) => this.#shown.add(bytes),
      exit: () => read.resolve(),
    };
    this.#read = read.promise;
    this.process = Bun.spawn([process.execPath, main, ...args], { env: environment(env), terminal });
    this.#terminal = this.process.terminal!;
  }

  get text(): string {
    return this.#shown.text;
  }

  /** How the terminal treats what its user types. */
  get flags(): number {
    return this.#terminal.localFlags;
  }

  async shows(expected: RegExp | string): Promise<void> {
    await this.#shown.until(expected, this.#read);
  }

  /** What its user types: "\x03" is Ctrl-C. */
  type(text: string): void {
    this.#terminal.write(text);
  }

  interrupt(): void {
    this.type("\u0003");
  }

  /** Waits for its end, and for all that it has written. */
  async outcome(): Promise<{ exitCode: number; text: string }> {
    const [exitCode] = await Promise.all([this.process.exited, this.#read]);
    return { exitCode, text: this.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
    this.#terminal.close();
  }
}

/** Runs a command in a terminal, to its end. */
export async function inTerminal(
  env: Env,
  args: readonly string[],
  size: { cols?: number; rows?: number } = {},
): Promise<{ exitCode: number; text: string }> {
  await using run = new TerminalRun(env, args, size);
  return await run.outcome();
}
