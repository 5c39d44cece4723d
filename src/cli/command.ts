/** What a command of the command line is: its options, what its help says, and what it does. */

import type { Security } from "../actor/security.ts";
import type { AddressInput } from "../transport/address.ts";
import type { Client } from "../tree/client.ts";

/** An option, as `util.parseArgs` takes it, and what the help says about it. */
export interface CommandOption {
  readonly type: "boolean" | "string";
  /** One letter. */
  readonly short?: string;
  /** May be given several times; its value is then an array. */
  readonly multiple?: boolean;
  /** What the help calls the value, in capitals: "SEC". Leave it out for a boolean. */
  readonly value?: string;
  /** The only values that it may have; checked before the command runs, and completed by the shell. */
  readonly choices?: readonly string[];
  /** Its line in the help, without a full stop: "redraw until interrupted". */
  readonly summary: string;
}

export type CommandOptions = Readonly<Record<string, CommandOption>>;

/** The values of the options that were given, by their long names. */
export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** What stdout is, for commands that print tables. */
export interface Terminal {
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean;
  /** Its size; undefined if stdout isn't a terminal. */
  readonly columns: number | undefined;
  readonly rows: number | undefined;
  /** The text in that style, or as it is where stdout takes no colours. */
  style(format: "bold" | "dim" | "red" | "green" | "yellow", text: string): string;
}

/** What a command gets to work with. */
export interface CommandContext {
  /** The words after the command's name that aren't options. */
  readonly args: readonly string[];
  /** The words after `--`, for a command that `takesRest`. */
  readonly rest: readonly string[];
  /** The command's own options. */
  readonly flags: Flags;
  /** Whether `--json` was given: one document (`jsonDocument`), or a line each (`jsonLine`) where output goes on. */
  readonly json: boolean;
  /** Whether `--quiet` was given: nothing but errors on stderr. */
  readonly quiet: boolean;
  /** Aborted by Ctrl-C, SIGTERM and SIGHUP, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
  /** What `--registry` gave, or undefined for the default. */
  readonly registryAddrs: readonly AddressInput[] | undefined;
  /** What `--token-file` gave, or undefined for the default. */
  readonly security: Security | undefined;
  readonly terminal: Terminal;
  /** All commands, by name. */
  readonly commands: Readonly<Record<string, CommandEntry>>;
  /** Opens the client on the first call, with what the common options say; it is closed after the command. */
  client(): Promise<Client>;
  /** Writes data to stdout, without adding a line break; resolves when there's room for more. */
  out(text: string): Promise<void>;
  /** The same for lines, which get their line breaks. */
  lines(lines: readonly string[]): Promise<void>;
  /** Writes to stderr, where everything goes that isn't data; nothing with `--quiet`. */
  err(text: string): Promise<void>;
  /** Prints an error on stderr, as one that `run` throws, and goes on. */
  error(error: unknown): Promise<void>;
  /** The same for several. Returns the exit code of the first; 0 if there are none. */
  failures(errors: readonly Error[]): Promise<number>;
}

/**
 * A command. Its file in `commands/` exports it as `command`, and is loaded only when it runs or its own help is shown:
 * `command-list.ts` has its name, its place in the help and its summary.
 */
export interface Command {
  /** What follows the command's name, without its options: "NAME.FN [ARG]...". */
  readonly usage: string;
  /** Paragraphs of the command's own help: what one may rely on, and what its columns mean. */
  readonly details?: string;
  /** A command line to copy: "furrow call market.getPrice BTC". */
  readonly example: string;
  readonly options: CommandOptions;
  /** How many arguments it takes. Default: none. */
  readonly args?: { readonly min: number; readonly max: number };
  /**
   * What its arguments are, for the shell's completion: names of actors, functions to call or to stream as NAME.FN, or some
   * words. Default: files.
   */
  readonly completes?: "actors" | "functions" | "streams" | readonly string[];
  /** Whether the words after `--` are for something else, a program say. Otherwise they are arguments like others. */
  readonly takesRest?: boolean;
  /**
   * Does it. Returns the exit code: 0, or another of `Exit` in exit.ts. What it throws is printed on stderr, and `exitCodeOf`
   * in exit.ts turns it into an exit code. Throw a `UsageError` for a command line that makes no sense.
   */
  run(context: CommandContext): Promise<number>;
}

/** The groups of the help, in its order. */
export type CommandGroup = "look" | "use" | "change" | "make" | "also";

export interface CommandEntry {
  readonly group: CommandGroup;
  /** Its line in the help, without a full stop. */
  readonly summary: string;
  load(): Promise<{ readonly command: Command }>;
}
