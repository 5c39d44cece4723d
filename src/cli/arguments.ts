/** The grammar: which words are the command, its options and its arguments. */
import { parseArgs } from "node:util";

import type { Command, CommandOption, CommandOptions, Flags } from "./command.ts";
import { UsageError } from "./exit.ts";

/** The options of every command. They may also come before its name. */
export const commonOptions: CommandOptions = {
  registry: {
    type: "string",
    multiple: true,
    value: "ADDR",
    summary: "where to look for a registrar; default $FURROW_REGISTRY_ADDRS, else port 1616 on this host",
  },
  "token-file": {
    type: "string",
    value: "FILE",
    summary: "the file with the secret; default $FURROW_SECRET_FILE, $FURROW_SECRET, else that of the user",
  },
  json: { type: "boolean", summary: "print JSON, in the form of docs/cli.schema.json" },
  color: {
    type: "string",
    value: "WHEN",
    choices: ["auto", "always", "never"],
    summary: "auto: in a terminal, unless NO_COLOR is set",
  },
  quiet: { type: "boolean", short: "q", summary: "nothing but errors on stderr" },
  help: { type: "boolean", short: "h", summary: "show this help" },
  version: { type: "boolean", summary: "print the version" },
};

/** The words, with the command's name taken out. */
export interface Split {
  readonly name: string | undefined;
  readonly words: readonly string[];
}

/** Finds the command's name: the first word that is neither a common option nor the value of one. */
export function splitCommand(words: readonly string[]): Split {
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === "--") break;
    if (!word.startsWith("-")) return { name: word, words: words.toSpliced(at, 1) };
    const option = commonOptions[word.slice(2)];
    if (word.startsWith("--") && option?.type === "string") at++; // its value
  }
  return { name: undefined, words };
}

export interface ParsedArguments {
  readonly flags: Flags;
  readonly args: readonly string[];
  readonly rest: readonly string[];
}

/** @throws {UsageError} when an option is unknown, or there are too few or too many arguments */
export function parseArguments(words: readonly string[], name: string, command: Command): ParsedArguments {
  const end = command.takesRest ? words.indexOf("--") : -1;
  const own = end < 0 ? words : words.slice(0, end);
  const parsed = parse(own, { ...commonOptions, ...command.options }, name);
  const rest = end < 0 ? [] : words.slice(end + 1);
  // the help of a command needs no arguments
  if (parsed.flags["help"] !== true) checkCount(parsed.args, name, command);
  return { ...parsed, rest };
}

/** The common options, for a command line without a command. @throws {UsageError} when one is unknown */
export function parseCommon(words: readonly string[]): Flags {
  return parse(words, commonOptions, undefined).flags;
}

function parse(
  words: readonly string[],
  options: CommandOptions,
  name: string | undefined,
): { flags: Flags; args: string[] } {
  try {
    const { values, positionals } = parseArgs({
      args: words.map(shielded),
      options: Object.fromEntries(Object.entries(options).map(([long, one]) => [long, configOf(one)])),
      allowPositionals: true,
    });
    const flags = Object.fromEntries(
      Object.entries(values).map(([long, value]) => [long, unshieldedValue(value)]),
    ) as Flags;
    checkChoices(flags, options);
    return { flags, args: positionals.map(unshielded) };
  } catch (error) {
    throw usageErrorOf(error, name);
  }
}

/** What parseArgs takes: it rejects the fields of ours. */
function configOf({ type, short, multiple }: CommandOption): {
  type: "boolean" | "string";
  short?: string;
  multiple?: boolean;
} {
  return { type, ...(short !== undefined && { short }), ...(multiple !== undefined && { multiple }) };
}

/** A negative number is an argument: no option is a digit. */
function shielded(word: string): string {
  return /^-\.?\d/.test(word) ? `\0${word}` : word;
}

function unshielded(word: string): string {
  return word.startsWith("\0") ? word.slice(1) : word;
}

/** It may also be the value of an option. */
function unshieldedValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unshieldedValue);
  return typeof value === "string" ? unshielded(value) : value;
}

function checkChoices(flags: Flags, options: CommandOptions): void {
  for (const [long, value] of Object.entries(flags)) {
    const choices = options[long]?.choices;
    if (choices === undefined || typeof value !== "string" || choices.includes(value)) continue;
    throw new UsageError(`--${long} must be ${choices.join(", ")}, got ${JSON.stringify(value)}`);
  }
}

function checkCount(args: readonly string[], name: string, { args: count, usage }: Command): void {
  const { min, max } = count ?? { min: 0, max: 0 };
  const form = `write: furrow ${name}${usage === "" ? "" : ` ${usage}`}`;
  if (args.length < min) throw new UsageError(`furrow ${name} needs more arguments: ${form}`);
  if (args.length > max)
    throw new UsageError(`furrow ${name} doesn't take the argument ${JSON.stringify(args[max])}: ${form}`);
}

/** parseArgs explains at length; one line, and where to look, does. */
function usageErrorOf(error: unknown, name: string | undefined): unknown {
  if (error instanceof UsageError || !(error instanceof Error)) return error;
  const code = "code" in error ? error.code : undefined;
  if (typeof code !== "string" || !code.startsWith("ERR_PARSE_ARGS")) return error;
  const whole = name === undefined ? "furrow" : `furrow ${name}`;
  const option = /'(-[^' ]*)/.exec(error.message)?.[1] ?? "";
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION")
    return new UsageError(`${whole} has no option ${option}: see ${whole} --help`);
  const [first = ""] = error.message.split(/\.?\n|\. /);
  return new UsageError(`${first.charAt(0).toLowerCase()}${first.slice(1)}: see ${whole} --help`);
}
