/**
 * Takes the words of a command line apart, by the rules of `util.parseArgs`: loading that takes longer than most commands run.
 */
import { UsageError } from "./exit.ts";

/** What matters here of a `CommandOption`. */
interface Option {
  readonly type: "boolean" | "string";
  readonly short?: string;
  readonly multiple?: boolean;
}

type Options = Readonly<Record<string, Option>>;

export interface ParsedWords {
  /** By their long names. */
  readonly values: Readonly<Record<string, string | boolean | readonly string[]>>;
  readonly positionals: readonly string[];
}

/**
 * Options are `--name`, `--name VALUE` and `--name=VALUE`; for those with a letter also `-n`, `-n VALUE`, `-nVALUE`, and letters
 * together, of which the last may take a value. After `--` nothing is an option.
 *
 * @throws {UsageError} when an option is unknown, lacks its value, or has one that it doesn't take. `program`: whose help its
 *   message names
 */
export function parseWords(words: readonly string[], options: Options, program: string): ParsedWords {
  const parser = new Parser(options, program);
  parser.parse(words);
  return parser;
}

class Parser implements ParsedWords {
  readonly values: Record<string, string | boolean | readonly string[]> = {};
  readonly positionals: string[] = [];
  readonly #options: Options;
  readonly #program: string;
  /** Those that are still to come. */
  #words: string[] = [];

  constructor(options: Options, program: string) {
    this.#options = options;
    this.#program = program;
  }

  parse(words: readonly string[]): void {
    this.#words = [...words];
    for (;;) {
      const word = this.#words.shift();
      if (word === undefined) return;
      if (word === "--") this.positionals.push(...this.#words.splice(0));
      else if (word.startsWith("--")) this.#takeLong(word);
      else if (isOption(word)) this.#takeLetters(word.slice(1));
      else this.positionals.push(word);
    }
  }

  #takeLong(word: string): void {
    const equals = word.indexOf("=");
    const written = equals < 0 ? word : word.slice(0, equals);
    this.#take(written.slice(2), written, equals < 0 ? undefined : word.slice(equals + 1));
  }

  #takeLetters(letters: string): void {
    for (let at = 0; at < letters.length; at++) {
      const short = letters[at]!;
      const [long = "", option] = Object.entries(this.#options).find(([, one]) => one.short === short) ?? [];
      const rest = letters.slice(at + 1);
      const takesRest = option?.type === "string" && rest !== "";
      this.#take(long, `-${short}`, takesRest ? rest : undefined);
      if (takesRest) return;
    }
  }

  /** `written`: what the command line says for this option. `value`: what is attached to that. */
  #take(long: string, written: string, value: string | undefined): void {
    if (!Object.hasOwn(this.#options, long))
      throw new UsageError(`${this.#program} has no option ${written}: see ${this.#program} --help`);
    const { type, short, multiple = false } = this.#options[long]!;
    const shown = short === undefined ? `--${long}` : `-${short}, --${long}`;
    if (type === "boolean") {
      if (value !== undefined) throw this.#fault(`option '${shown}' does not take an argument`);
      this.values[long] = true;
      return;
    }
    const taken = value ?? this.#words.shift();
    if (taken === undefined) throw this.#fault(`option '${shown} <value>' argument missing`);
    // otherwise a forgotten value would swallow the next option
    if (value === undefined && isOption(taken))
      throw this.#fault(`option '${written}' argument is ambiguous`);
    const before = this.values[long];
    this.values[long] = multiple ? [...(Array.isArray(before) ? (before as string[]) : []), taken] : taken;
  }

  #fault(text: string): UsageError {
    return new UsageError(`${text}: see ${this.#program} --help`);
  }
}

function isOption(word: string): boolean {
  return word.length > 1 && word.startsWith("-");
}
