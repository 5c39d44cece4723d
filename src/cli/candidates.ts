/** What a command line may go on with, for the shell's completion. */
import type { Registration } from "../discovery/registration.ts";
import { listActors } from "./actors.ts";
import { commonOptions, splitCommand } from "./arguments.ts";
import type { Command, CommandContext, CommandOptions } from "./command.ts";

/** Whoever presses Tab doesn't wait for a registrar that is busy. */
const patienceMs = 1_000;

export interface Candidate {
  readonly word: string;
  /** What it is, in a few words. */
  readonly text: string;
}

/** The candidates for the last of the words, which may be empty. */
export async function candidatesFor(words: readonly string[], context: CommandContext): Promise<Candidate[]> {
  const last = words.at(-1) ?? "";
  const { name, words: others } = splitCommand(words.slice(0, -1));
  const before = words.at(-2) ?? "";
  const found = await allCandidates(name, others, before, last, context);
  return found.filter(({ word }) => word.startsWith(last));
}

async function allCandidates(
  name: string | undefined,
  others: readonly string[],
  before: string,
  last: string,
  context: CommandContext,
): Promise<readonly Candidate[]> {
  const command = name === undefined ? undefined : await load(name, context);
  if (name !== undefined && command === undefined) return [];
  const options = { ...command?.options, ...commonOptions };
  const valued = optionNamed(before, options);
  if (valued?.type === "string") return (valued.choices ?? []).map((word) => ({ word, text: "" }));
  if (last.startsWith("-"))
    return Object.entries(options).map(([long, { summary }]) => ({ word: `--${long}`, text: summary }));
  if (command === undefined)
    return Object.entries(context.commands).map(([word, { summary }]) => ({ word, text: summary }));
  const isValue = (at: number): boolean => optionNamed(others[at - 1] ?? "", options)?.type === "string";
  const isFirst = others.every((word, at) => word.startsWith("-") || isValue(at));
  return isFirst ? await argumentsOf(command, last, context) : [];
}

async function load(name: string, { commands }: CommandContext): Promise<Command | undefined> {
  if (!Object.hasOwn(commands, name)) return undefined;
  return (await commands[name]!.load()).command;
}

function optionNamed(word: string, options: CommandOptions): CommandOptions[string] | undefined {
  if (word.startsWith("--")) return options[word.slice(2)];
  return Object.values(options).find(({ short }) => word === `-${short}`);
}

async function argumentsOf(
  { completes }: Command,
  last: string,
  context: CommandContext,
): Promise<readonly Candidate[]> {
  if (completes === undefined) return [];
  if (typeof completes !== "string") return completes.map((word) => ({ word, text: "" }));
  const actors = await actorsThere(context);
  if (completes === "actors")
    return byName(actors).map(([word, found]) => ({ word, text: countText(found.length) }));
  const verb = completes === "functions" ? "run" : "stream";
  // the names first: an actor may have many functions
  const named = byName(actors).filter(([name]) => last.startsWith(`${name}.`));
  if (named.length === 0)
    return byName(actors).map(([name, found]) => ({ word: `${name}.`, text: countText(found.length) }));
  return named.flatMap(([name, found]) => {
    const functions = found.flatMap((actor) => actor.functions.filter((one) => one.verb === verb));
    return Array.from(new Set(functions.map((one) => one.name)), (fn) => ({
      word: `${name}.${fn}`,
      text: verb,
    }));
  });
}

function byName(actors: readonly Registration[]): [string, Registration[]][] {
  return Array.from(Map.groupBy(actors, ({ id }) => id.name));
}

function countText(count: number): string {
  return count === 1 ? "actor" : `${count} actors`;
}

/** None if there's no registrar: a completion has nowhere to say so. */
async function actorsThere(context: CommandContext): Promise<readonly Registration[]> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(patienceMs)]);
  const { promise, resolve } = Promise.withResolvers<readonly Registration[]>();
  signal.addEventListener("abort", () => resolve([]), { once: true });
  const listed = context.client().then(
    () => listActors("*", signal),
    () => [],
  );
  return await Promise.race([listed.catch(() => []), promise]);
}
