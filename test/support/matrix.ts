/**
 * Every command, wherever it may run and however it may end: a table for each group of commands. What a command prints in a
 * cell is a section of its golden file.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { Exit } from "../../src/cli/exit.ts";
import { type SchemaName, expectSchema } from "./cli-schema.ts";
import { PipeRun, type Running, TerminalRun } from "./command-line.ts";
import { framesOf } from "./frames.ts";
import { expectSection, expectSections } from "./golden.ts";
import { normalise } from "./normalise.ts";
import { type Place, Stage } from "./stage.ts";

/** One run of a command. */
export interface Cell {
  /** The words of the command line. */
  readonly words: readonly string[] | ((stage: Stage) => readonly string[]);
  /** Default: shop. */
  readonly at?: Place;
  readonly stdin?: string;
  /** The exit code; default 0. */
  readonly exit?: number;
  /** Comes before the command; what it returns is disposed of when that has ended. */
  readonly before?: (stage: Stage) => Promise<AsyncDisposable>;
  /** What happens while the command runs. */
  readonly during?: (run: Running, stage: Stage) => Promise<void>;
  /** For a view that is drawn in its place: which frames are held. Of frames that are alike, there is one. */
  readonly frames?: "all" | "last";
  /** What is held of the output; default: all. */
  readonly held?: (text: string) => string;
}

export interface TerminalCell extends Omit<Cell, "during"> {
  readonly during?: (run: TerminalRun, stage: Stage) => Promise<void>;
}

export interface JsonCell extends Cell {
  /** Of docs/cli.schema.json. `isLines`: each line is a document. */
  readonly schema: SchemaName;
  readonly isLines?: boolean;
}

/** Why there is no such cell. */
export type Absent = { readonly because: string };

/** One way to use a command. */
export interface Form {
  readonly pipe: Cell;
  readonly terminal: TerminalCell;
  readonly json: JsonCell | Absent;
}

export type Failure = Exclude<keyof typeof Exit, "ok">;

export interface Row {
  /** By what is added to the plain command: "", "--watch". */
  readonly forms: Readonly<Record<string, Form>>;
  readonly exits: Readonly<Record<Failure, Cell | Absent>>;
}

const failures = (Object.keys(Exit) as (keyof typeof Exit)[]).filter((name) => name !== "ok");

export type Rows = Readonly<Record<string, Row>>;

export function isCell<C extends Cell>(cell: C | Absent): cell is C {
  return "words" in cell;
}

/** The tests of a table. */
export function describeRows(rows: Rows): void {
  let stage!: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage[Symbol.asyncDispose]());
  for (const [name, row] of Object.entries(rows)) {
    describe(`furrow ${name}`, () => {
      for (const [section, run] of runsOf(row))
        test(section, async () => expectSection(name, section, await run(stage)));
    });
  }

  test("those that give up on a registrar that doesn't answer", async () => {
    const slow = Object.entries(rows).flatMap(([name, { exits }]) =>
      failures.flatMap((failure) => {
        const cell = exits[failure];
        return isCell(cell) && isSlow(cell) ? [{ name, failure, cell }] : [];
      }),
    );
    const texts = await Promise.all(
      slow.map(async ({ failure, cell }) => await inPipe({ ...cell, exit: Exit[failure] }, stage)),
    );
    for (const [at, { name, failure }] of slow.entries()) expectSection(name, sectionOf(failure), texts[at]!);
  }, 60_000);

  test("the golden files hold these cells and no others", () => {
    for (const [name, row] of Object.entries(rows)) expectSections(name, sectionsOf(row));
  });
}

/** It takes the command seconds to give up: those that do wait together. */
function isSlow({ at }: Cell): boolean {
  return at === "mute";
}

type Run = (stage: Stage) => Promise<string>;

/** The cells that run alone, by their sections. */
function runsOf({ forms, exits }: Row): [string, Run][] {
  const runs = Object.entries(forms).flatMap(([form, { pipe, terminal, json }]): [string, Run][] => [
    [formSection(form, "pipe"), (stage) => inPipe(pipe, stage)],
    [formSection(form, "terminal"), (stage) => inTerminal(terminal, stage)],
    ...(isCell(json)
      ? [[formSection(form, "json"), (stage: Stage) => asJson(json, stage)] as [string, Run]]
      : []),
  ]);
  const ends = failures.flatMap((failure): [string, Run][] => {
    const cell = exits[failure];
    if (!isCell(cell) || isSlow(cell)) return [];
    const whole = { ...cell, exit: Exit[failure] };
    // Ctrl-C is a key
    const run = failure === "interrupted" ? inTerminal : inPipe;
    return [[sectionOf(failure), (stage) => run(whole, stage)]];
  });
  return [...runs, ...ends];
}

function sectionsOf({ forms, exits }: Row): string[] {
  return [
    ...Object.entries(forms).flatMap(([form, { json }]) => [
      formSection(form, "pipe"),
      formSection(form, "terminal"),
      ...(isCell(json) ? [formSection(form, "json")] : []),
    ]),
    ...failures.filter((failure) => isCell(exits[failure])).map(sectionOf),
  ];
}

const places = { pipe: "in a pipe", terminal: "in a terminal", json: "with --json" } as const;

function formSection(form: string, place: keyof typeof places): string {
  return form === "" ? places[place] : `${form}, ${places[place]}`;
}

function sectionOf(failure: Failure): string {
  return `exit code ${Exit[failure]}`;
}

async function inPipe(cell: Cell, stage: Stage): Promise<string> {
  await using _ = await cell.before?.(stage);
  const words = wordsOf(cell, stage);
  await using run = new PipeRun(stage.env(cell.at ?? "shop"), words, cell.stdin);
  await cell.during?.(run, stage);
  const { exitCode, stdout, stderr } = await run.outcome();
  expect([exitCode, stderr]).toEqual([cell.exit ?? Exit.ok, stderr]);
  const errors = stderr === "" ? "" : `[on stderr]\n${stderr}`;
  return transcript(words, `${cell.held?.(stdout) ?? stdout}${errors}`, exitCode);
}

/** Wide enough for every table: where a narrow one is cut depends on what is in it. */
const size = { cols: 200, rows: 40 };

async function inTerminal(cell: TerminalCell, stage: Stage): Promise<string> {
  await using _ = await cell.before?.(stage);
  const words = wordsOf(cell, stage);
  await using run = new TerminalRun(stage.env(cell.at ?? "shop"), words, size);
  const { flags } = run;
  await cell.during?.(run, stage);
  const { exitCode, text } = await run.outcome();
  expect([exitCode, text]).toEqual([cell.exit ?? Exit.ok, text]);
  expect(run.flags).toBe(flags);
  if (cell.frames !== undefined) return transcript(words, framesIn(text, cell.frames), exitCode);
  return transcript(words, cell.held?.(text) ?? text, exitCode);
}

async function asJson({ schema, isLines = false, ...cell }: JsonCell, stage: Stage): Promise<string> {
  const held = (text: string): string => {
    const documents = isLines ? text.trimEnd().split("\n") : [text];
    for (const document of documents) expectSchema(schema, document);
    return cell.held?.(text) ?? text;
  };
  return await inPipe({ ...cell, held }, stage);
}

function wordsOf({ words }: Pick<Cell, "words">, stage: Stage): readonly string[] {
  return typeof words === "function" ? words(stage) : words;
}

function framesIn(text: string, which: "all" | "last"): string {
  const { frames, rest } = framesOf(text);
  const steady = frames.map((lines) => normalise(lines.map((line) => `${line}\n`).join("")));
  const distinct = steady.filter((frame, at) => frame !== steady[at - 1]);
  const held = which === "last" ? distinct.slice(-1) : distinct;
  return `${held.map((frame) => `--- a frame\n${frame}`).join("")}---\n${rest}`;
}

/** The command line as one would type it, what it printed, and its exit code. */
function transcript(words: readonly string[], output: string, exitCode: number): string {
  const typed = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(" ");
  return normalise(`$ furrow ${typed}\n${output}[exit code ${exitCode}]\n`);
}
