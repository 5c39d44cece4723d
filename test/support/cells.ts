/** Cells that many commands have. */
import type { Portal, StartOptions } from "../../src/index.ts";
import type { SchemaName } from "./cli-schema.ts";
import type { Running } from "./command-line.ts";
import type { Absent, Cell, Failure, Form, JsonCell } from "./matrix.ts";
import type { ShopActor } from "./shop.ts";
import type { Stage } from "./stage.ts";

type Words = Cell["words"];
type Exits = Readonly<Record<Failure, Cell | Absent>>;

/** The same command line in a pipe, in a terminal, and with `--json`. */
export function everywhere(
  words: Words,
  schema: SchemaName,
  more: Omit<JsonCell, "words" | "schema"> = {},
): Form {
  const cell = { ...more, words };
  return { pipe: cell, terminal: cell, json: { ...cell, words: withJson(words), schema } };
}

/** As `everywhere`, with an actor of another name for each: what is kept of those that have ended would be seen by the next. */
export function apart(
  name: string,
  cellOf: (name: string) => Omit<JsonCell, "schema">,
  schema: SchemaName,
): Form {
  const json = cellOf(`${name}-j`);
  return {
    pipe: cellOf(`${name}-p`),
    terminal: cellOf(`${name}-t`),
    json: { ...json, words: withJson(json.words), schema },
  };
}

export function withJson(words: Words): Words {
  return typeof words === "function" ? (stage) => [...words(stage), "--json"] : [...words, "--json"];
}

/**
 * The failures that every command has which looks for a registrar, as far as `own` doesn't say otherwise: another secret, nobody at
 * the address, a registrar that doesn't answer, and Ctrl-C while it waits for one.
 */
export function clientExits(words: Words, own: Pick<Exits, "usage" | "noActor"> & Partial<Exits>): Exits {
  return {
    failed: { words, at: "foreign" },
    noRegistrar: { words, at: "nowhere" },
    timeout: { words, at: "mute" },
    interrupted: { words, at: "silent", during: interruptWhenConnected },
    ...own,
  };
}

async function interruptWhenConnected(run: Running, stage: Stage): Promise<void> {
  await stage.nextConnection();
  run.interrupt();
}

/** An actor that is there while the command runs. */
export function beside(
  name: string,
  prepare: (actor: Portal<ShopActor>, stage: Stage) => Promise<unknown> = async () => {},
  options: Omit<StartOptions, "module"> = {},
): Required<Pick<Cell, "before">> {
  return {
    async before(stage) {
      await prepare(await stage.start(name, options), stage);
      return { [Symbol.asyncDispose]: () => stage.end(name) };
    },
  };
}
