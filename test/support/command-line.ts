/** Runs the command line as its users do: in a pipe, or in a terminal. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const main = join(import.meta.dir, "../../src/cli/main.ts");
const goldenFolder = join(import.meta.dir, "../cli/golden");

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

/** A command in a terminal. */
export class TerminalRun implements AsyncDisposable {
  readonly process: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;
  readonly #decoder = new TextDecoder();
  #text = "";
  #changed = Promise.withResolvers<void>();

  constructor(env: Env, args: readonly string[], size: { cols?: number; rows?: number } = {}) {
    // made by spawn: only then is it the terminal that sends Ctrl-C as a signal
    const terminal: Bun.TerminalOptions = {
      cols: size.cols ?? 100,
      rows: size.rows ?? 24,
      data: (_, bytes) => {
        this.#text += this.#decoder.decode(bytes, { stream: true });
        this.#changed.resolve();
        this.#changed = Promise.withResolvers<void>();
      },
    };
    this.process = Bun.spawn([process.execPath, main, ...args], { env: environment(env), terminal });
    this.#terminal = this.process.terminal!;
  }

  /** Everything that it has written so far. */
  get text(): string {
    return this.#text.replaceAll("\r\n", "\n");
  }

  /** Resolves when the text matches. */
  async shows(expected: RegExp | string): Promise<void> {
    const isShown = (): boolean =>
      typeof expected === "string" ? this.text.includes(expected) : expected.test(this.text);
    while (!isShown()) {
      const changed = this.#changed.promise;
      const ended = this.process.exited.then(() => "ended" as const);
      if ((await Promise.race([changed, ended])) === "ended" && !isShown())
        throw new Error(`the command ended without showing ${String(expected)}: ${this.text}`);
    }
  }

  /** What its user types: "\x03" is Ctrl-C. */
  type(text: string): void {
    this.#terminal.write(text);
  }

  /** Waits for its end. */
  async outcome(): Promise<{ exitCode: number; text: string }> {
    const exitCode = await this.process.exited;
    // what it wrote last may still be on its way
    for (let before = -1; before !== this.#text.length; await Bun.sleep(5)) before = this.#text.length;
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

/**
 * What differs from run to run, by a stable name each; runs of spaces as two, because columns are as wide as what's in
 * them. Escape sequences become readable.
 */
export function normalise(text: string): string {
  return text
    .replaceAll("\u001b", "<ESC>")
    .replaceAll(/file:\/\/\S*\//g, "file://<dir>/")
    .replaceAll(/(?<=furrow +)\S+, bun \S+ on \w+/g, "<version>")
    .replaceAll(/(?<=peers +)\d+/g, "<number>")
    .replaceAll(/(?<=limits +)the defaults/g, "<limits>")
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>")
    .replaceAll(/#[0-9a-f]{8}\b/g, "#<uuid>")
    .replaceAll(/(?<=^|\s)[0-9a-f]{8}(?=\s)/gm, "<uuid8>")
    .replaceAll(/unix:\/\/\S*\//g, "unix://<dir>/")
    .replaceAll(/@\d+\.sock/g, "@<pid>.sock")
    .replaceAll(/[0-9a-f]{12}@/g, "<hash>@")
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>")
    .replaceAll(/"pid": ?\d+/g, '"pid": <pid>')
    .replaceAll(/"host": ?"[0-9a-f]{16}"/g, '"host": "<host>"')
    .replaceAll(/"(startedAt|revision)": ?\d+/g, '"$1": <number>')
    .replaceAll(/"(\w*Ms|calls|callsPerSecond|cpuSeconds|rssBytes)": ?[\d.e-]+/g, '"$1": <number>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replaceAll(/\b[\d.]+ ms\b/g, "<ms>")
    .replaceAll(/(?<= )\d+\.\d\ds(?= )/g, "<cpu>")
    .replaceAll(/(?<= )\d+M(?= )/g, "<size>")
    .replaceAll(/(?<= )\d+[smhd](?= )/g, "<age>")
    .replaceAll(/(?<=pid +)\d+/g, "<pid>")
    .replaceAll(/(?<=<uuid8?> +)\d+/g, "<pid>")
    .replaceAll(/(?<=\S) {2,}/g, "  ");
}

/** Compares with the golden file of that name; `FURROW_GOLDEN=write` writes it instead. `clean`: takes out what varies. */
export function expectGolden(name: string, text: string, clean: (text: string) => string = normalise): void {
  const path = join(goldenFolder, `${name}.txt`);
  const actual = clean(text);
  if (process.env["FURROW_GOLDEN"] === "write") writeFileSync(path, actual);
  expect(actual).toBe(existsSync(path) ? readFileSync(path, "utf8") : `no file ${path}`);
}
