/** What a command writes, and to what: stdout and stderr, in a terminal or not. */
import type { Terminal } from "./command.ts";

const stdout = 1;
const stderr = 2;

export type ColorWhen = "auto" | "always" | "never";

/** Nobody reads stdout any more. */
export class BrokenPipeError extends Error {
  override readonly name = "BrokenPipeError";
}

/**
 * Writes data to stdout and everything else to stderr. It doesn't use `process.stdout`: that takes longer to load than
 * most commands run.
 */
export class Output implements Terminal {
  readonly #writer = Bun.stdout.writer();
  readonly #errors = Bun.stderr.writer();
  readonly #onBroken: (error: Error) => void;
  readonly #terminals = new Map<number, boolean>();
  #color: ColorWhen = "auto";
  #isQuiet = false;

  /** `onBroken` is called when stdout turns out to be closed. */
  constructor(onBroken: (error: Error) => void) {
    this.#onBroken = onBroken;
  }

  set color(when: ColorWhen) {
    this.#color = when;
  }

  set isQuiet(quiet: boolean) {
    this.#isQuiet = quiet;
  }

  /** Whether stdout is a terminal. */
  get isTerminal(): boolean {
    return this.#isTerminal(stdout);
  }

  /** The width of the terminal; undefined if stdout isn't one. */
  get columns(): number | undefined {
    return this.isTerminal ? terminalSize().columns : undefined;
  }

  /** The height of the terminal; undefined if stdout isn't one. */
  get rows(): number | undefined {
    return this.isTerminal ? terminalSize().rows : undefined;
  }

  style(format: Parameters<Terminal["style"]>[0], text: string): string {
    return this.#style(stdout, format, text);
  }

  async out(text: string): Promise<void> {
    try {
      await this.#writer.write(text);
      await this.#writer.flush();
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EPIPE")) throw error;
      const broken = new BrokenPipeError("nobody reads the output", { cause: error });
      this.#onBroken(broken);
      throw broken;
    }
  }

  /** Something to know that isn't an error. */
  async err(text: string): Promise<void> {
    if (!this.#isQuiet) await this.alert(text);
  }

  /** An error, with what to do about it. */
  async error(error: unknown): Promise<void> {
    const { reportOf } = await import("./report.ts");
    await this.alert(reportOf(error, (text) => this.#style(stderr, "red", text)));
  }

  /** As `err`, even when quiet. */
  async alert(text: string): Promise<void> {
    try {
      await this.#errors.write(text);
      await this.#errors.flush();
    } catch {
      // there's nowhere to say it
    }
  }

  #style(fd: number, format: Parameters<Terminal["style"]>[0], text: string): string {
    if (!this.#hasColors(fd)) return text;
    const { styleText } = require("node:util") as typeof import("node:util");
    return styleText(format, text, { validateStream: false });
  }

  #hasColors(fd: number): boolean {
    if (this.#color !== "auto") return this.#color === "always";
    const { NO_COLOR: no, FORCE_COLOR: force, TERM: term } = process.env;
    if (no !== undefined && no !== "") return false;
    if (force !== undefined) return force !== "0" && force !== "false";
    return term !== "dumb" && this.#isTerminal(fd);
  }

  #isTerminal(fd: number): boolean {
    let is = this.#terminals.get(fd);
    if (is === undefined) this.#terminals.set(fd, (is = isTerminal(fd)));
    return is;
  }
}

function isTerminal(fd: number): boolean {
  // both take their time to load, and a pipe needs no more than the first
  const { fstatSync } = require("node:fs") as typeof import("node:fs");
  try {
    // as every terminal is
    if (!fstatSync(fd).isCharacterDevice()) return false;
  } catch {
    return false; // closed
  }
  const { isatty } = require("node:tty") as typeof import("node:tty");
  return isatty(fd);
}

function terminalSize(): { columns: number; rows: number } {
  // a pseudo-terminal that nobody gave a size has 0 columns
  const { columns, rows } = process.stdout;
  return { columns: columns || 80, rows: rows || 24 };
}
