#!/usr/bin/env bun
/** The command line, `furrow`: finds the command, runs it as a client, and turns what happens into an exit code. */
import { parseArguments, parseCommon, splitCommand } from "./arguments.ts";
import type { Command, Flags } from "./command.ts";
import { commandList } from "./command-list.ts";
import { Exit, exitCodeOf, UsageError } from "./exit.ts";
import { BrokenPipeError, type ColorWhen, Output } from "./output.ts";
import { followSignals, SignalError } from "./signals.ts";

/** Runs one command line, and ends the process with its exit code. */
export async function main(words: readonly string[]): Promise<never> {
  const ended = new AbortController();
  const output = new Output((error) => ended.abort(error));
  const code = await run(words, output, ended).catch((error: unknown) => failed(error, output, ended.signal));
  process.exit(code);
}

async function run(words: readonly string[], output: Output, ended: AbortController): Promise<number> {
  const { name, words: others } = splitCommand(words);
  if (name === undefined) return await withoutCommand(others, output);
  const command = await loadCommand(name);
  const parsed = parseArguments(others, name, command);
  const { flags } = parsed;
  apply(flags, output);
  if (flags["help"] === true) {
    const { commandHelp } = await import("./help.ts");
    await output.out(commandHelp(name, command, (format, text) => output.style(format, text)));
    return Exit.ok;
  }
  using _signals = followSignals(ended);
  const { openContext } = await import("./context.ts");
  await using context = openContext(parsed, output, ended.signal);
  const code = await command.run(context);
  ended.signal.throwIfAborted();
  return code;
}

async function withoutCommand(words: readonly string[], output: Output): Promise<number> {
  const flags = parseCommon(words);
  apply(flags, output);
  if (flags["version"] === true) {
    const { readVersion } = await import("./version.ts");
    await output.out(`${await readVersion()}\n`);
    return Exit.ok;
  }
  const { generalHelp } = await import("./help.ts");
  const help = generalHelp((format, text) => output.style(format, text));
  if (flags["help"] === true) {
    await output.out(help);
    return Exit.ok;
  }
  await output.alert(help);
  return Exit.usage;
}

function apply(flags: Flags, output: Output): void {
  output.color = (flags["color"] ?? "auto") as ColorWhen;
  output.isQuiet = flags["quiet"] === true;
}

async function loadCommand(name: string): Promise<Command> {
  const entry = Object.hasOwn(commandList, name) ? commandList[name] : undefined;
  if (entry === undefined) {
    const { nearest } = await import("./nearest.ts");
    const near = nearest(name, Object.keys(commandList));
    const advice = near === undefined ? "furrow --help lists them" : `did you mean ${near}?`;
    throw new UsageError(`there is no command ${JSON.stringify(name)}: ${advice}`);
  }
  return (await entry.load()).command;
}

/** Prints why it failed, unless it was told to end. */
async function failed(error: unknown, output: Output, signal: AbortSignal): Promise<number> {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (reason instanceof SignalError) return reason.exitCode;
  // as with head, which has seen enough
  if (reason instanceof BrokenPipeError) return Exit.ok;
  await output.error(error);
  return exitCodeOf(error);
}

if (import.meta.main) void main(Bun.argv.slice(2));
