/**
 * Follows a document as a reader would: saves its files, types its commands, and compares their output.
 *
 * - A block that begins with `// NAME` is the file NAME; with `// NAME, at the end` it is appended, its imports at
 *   the top.
 * - An `sh` block contains commands that must succeed.
 * - A `console` block is what a terminal shows. `$ ` begins a command, `^C` is Ctrl-C, everything else is output. A
 *   first line `# terminal N` says which terminal; a command that ends in `# leave it running` keeps running in the
 *   background.
 * - `<pid>`, `<uuid>` and `<time>` stand for text that differs from run to run.
 * - `<!-- not run: WHY -->` before a block skips it.
 */
import { expect } from "bun:test";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { until } from "./world.ts";

export interface Block {
  readonly language: string;
  readonly text: string;
  /** Its location, for messages. */
  readonly place: string;
  readonly isSkipped: boolean;
}

/** How long one step may take before it counts as hung. */
const stepMs = 20_000;
const varying: Readonly<Record<string, string>> = {
  pid: "\\d+",
  uuid: "[0-9a-f]{8}",
  hash: "[0-9a-f]+",
  time: "\\S+",
  version: "\\S+",
};
const addMark = ", at the end";
const stayMark = "# leave it running";

/** The fenced blocks of a document, in order. */
export function blocksOf(document: string, name: string): Block[] {
  const found = document.matchAll(/(<!-- not run: [^\n]*-->\n\n)?^```(\w*)\n([\s\S]*?)^```$/gm);
  return Array.from(found, ({ 1: skip, 2: language = "", 3: text = "", index }) => ({
    language,
    text,
    place: `${name}:${document.slice(0, index).split("\n").length}`,
    isSkipped: skip !== undefined,
  }));
}

/** A folder with terminals. Disposing it ends everything still running. */
export class Reader implements AsyncDisposable {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #terminals = new Map<string, Terminal>();
  #cwd: string;

  constructor(cwd: string, env: Readonly<Record<string, string | undefined>>) {
    this.#cwd = cwd;
    this.#env = env;
  }

  async follow(block: Block): Promise<void> {
    const { language, text, isSkipped } = block;
    if (isSkipped || language === "mermaid") return;
    if (language === "console") await this.#watch(block);
    else if (language === "sh") await this.#type(block);
    else {
      const [, name, add] = /^(?:\/\/|#) ([\w.-]+)(, at the end)?\n/.exec(text) ?? [];
      if (name === undefined) throw new Error(`${block.place}: a block that doesn't say what it is`);
      this.#save(name, text, add === addMark);
    }
  }

  /** Checks that nothing is still running, and that nothing was printed that the document doesn't show. */
  async finish(): Promise<void> {
    for (const terminal of this.#terminals.values()) await terminal.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#terminals.values(), (terminal) => terminal.kill()));
  }

  #save(name: string, text: string, isAdded: boolean): void {
    const path = join(this.#cwd, name);
    if (!isAdded) {
      writeFileSync(path, text);
      return;
    }
    const lines = text.split("\n").slice(1);
    const imports = lines.filter((line) => line.startsWith("import "));
    const [head = "", ...rest] = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, [head, ...imports, ...rest].join("\n"));
    appendFileSync(
      path,
      `\n${lines
        .filter((line) => !line.startsWith("import "))
        .join("\n")
        .trimStart()}`,
    );
  }

  async #type({ text, place }: Block): Promise<void> {
    const where = join(this.#cwd, ".cwd");
    const script = `set -e\n${text}\npwd > ${where}`;
    const run = new Run(script, this.#cwd, this.#env);
    const code = await run.exited();
    expect(code, `${place}: ${run.output}`).toBe(0);
    if (existsSync(where)) this.#cwd = readFileSync(where, "utf8").trim();
  }

  async #watch({ text, place }: Block): Promise<void> {
    const lines = text.trimEnd().split("\n");
    const number = /^# terminal (\d)$/.exec(lines[0]!)?.[1];
    if (number !== undefined) lines.shift();
    const key = number ?? "1";
    let terminal = this.#terminals.get(key);
    if (terminal === undefined) this.#terminals.set(key, (terminal = new Terminal()));
    for (let at = 0; at < lines.length;) {
      const line = lines[at++]!;
      const begin = at;
      while (at < lines.length && !/^(\$ |\^C)/.test(lines[at]!)) at++;
      const output = lines.slice(begin, at);
      if (line.startsWith("^C")) {
        terminal.interrupt(place);
        output.unshift(line.slice(2)); // a terminal shows the key without a new line
      } else if (!line.startsWith("$ ")) output.unshift(line);
      if (line.startsWith("$ ")) await terminal.type(line.slice(2), this.#cwd, this.#env, place);
      await terminal.shows(output, place);
    }
  }
}

class Terminal {
  #run: Run | undefined;
  #command = "";
  #stays = false;
  #expected: string[] = [];
  #lastCode = 0;

  async type(
    command: string,
    cwd: string,
    env: Readonly<Record<string, string | undefined>>,
    place: string,
  ): Promise<void> {
    await this.ended();
    this.#command = `${place}: $ ${command}`;
    this.#stays = command.endsWith(stayMark);
    this.#expected = [];
    this.#run = new Run(`(exit ${this.#lastCode}); ${command}`, cwd, env);
  }

  interrupt(place: string): void {
    if (this.#run === undefined) throw new Error(`${place}: Ctrl-C where nothing runs`);
    this.#run.signal("SIGINT");
    this.#stays = false;
  }

  /** Waits for more output of the last command, or for its end if it is ending. */
  async shows(lines: readonly string[], place: string): Promise<void> {
    const run = this.#run;
    if (run === undefined) throw new Error(`${place}: output where nothing runs`);
    this.#expected.push(...lines);
    if (!this.#stays) return await this.ended();
    await until(() => this.#fits() || run.hasEnded, stepMs).catch(() => {});
    this.#check();
  }

  /** Checks that the last command has ended and printed what the document shows. */
  async ended(): Promise<void> {
    if (this.#run === undefined) return;
    this.#lastCode = await this.#run.exited();
    this.#check();
    this.#run = undefined;
  }

  async kill(): Promise<void> {
    this.#run?.signal("SIGKILL");
    await this.#run?.exited();
  }

  #fits(): boolean {
    const pattern = this.#expected
      .map((line) =>
        RegExp.escape(line).replaceAll(/(?:<|\\x3c)(\w+)(?:>|\\x3e)/g, (all, name) => varying[name] ?? all),
      )
      .join("\n");
    return new RegExp(`^${pattern}$`).test(this.#run!.output.trimEnd());
  }

  #check(): void {
    if (this.#fits()) return;
    expect(this.#run!.output.trimEnd(), this.#command).toBe(this.#expected.join("\n"));
  }
}

/**
 * What each script begins with. Its group isn't that of this process, so it has to notice when this process is gone, killed
 * for example: then the pipe ends that was its input.
 */
const guard = `exec 2>&1 3<&0 0</dev/null
{ read -r -u 3; kill -KILL 0; } >/dev/null 2>&1 &
disown; exec 3<&-`;

/** A command and its output so far, on both streams. */
class Run {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "ignore">;
  readonly #reading: Promise<void>;
  #raw = "";
  #hasEnded = false;

  constructor(script: string, cwd: string, env: Readonly<Record<string, string | undefined>>) {
    this.#process = Bun.spawn(["bash", "-c", `${guard}\n${script}`], {
      cwd,
      env,
      stdio: ["pipe", "pipe", "ignore"],
      detached: true, // its own process group, as a terminal gives each command
    });
    this.#reading = this.#read();
  }

  get output(): string {
    return Bun.stripANSI(this.#raw);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#process.pid, signal);
    } catch {
      // it has ended meanwhile
    }
  }

  async exited(): Promise<number> {
    const timer = setTimeout(() => this.signal("SIGKILL"), stepMs);
    const code = await this.#process.exited;
    await this.#reading;
    clearTimeout(timer);
    await this.#process.stdin.end();
    return code;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stdout) {
      this.#raw += decoder.decode(chunk, { stream: true });
    }
    await this.#process.exited;
    this.#hasEnded = true;
  }
}
