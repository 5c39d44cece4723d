/** The commands that look. */
import { apart, beside, clientExits, everywhere } from "../../support/cells.ts";
import type { Running, TerminalRun } from "../../support/command-line.ts";
import type { Form, JsonCell, Rows } from "../../support/matrix.ts";
import type { Stage } from "../../support/stage.ts";

const anyName = { because: "it takes a pattern, which may match nothing" };

type Start = (stage: Stage, name: string) => Promise<unknown>;

const startThere: Start = async (stage, name) => await stage.start(name);

/** Below an actor of the tree, after another one that isn't. */
const startBelow: Start = async (stage, name) => {
  await stage.start("aside");
  await stage.shop.orders.run.startBelow(name);
  await stage.end("aside");
};

/** While the command shows it, an actor comes and goes; then Ctrl-C. */
function comesAndGoes(
  name: string,
  start: Start,
  up: string | RegExp,
  down: string | RegExp,
): (run: Running, stage: Stage) => Promise<void> {
  return async (run, stage) => {
    await run.shows(/NAME|"sync"/);
    await start(stage, name);
    await run.shows(up);
    await stage.end(name);
    await run.shows(down);
    run.interrupt();
  };
}

/** Frames in a terminal, rows in a pipe, lines with `--json`. */
function watched(words: readonly string[], name: string, start: Start): Form {
  // it was in a frame, and isn't in the last one
  const gone = new RegExp(`${name}[^]*\\r\u001b\\[\\d+A(?:(?!.*${name}).*\\n)+\u001b\\[J`);
  const up = new RegExp(`^up .* ${name} `, "m");
  return {
    pipe: { words, exit: 130, during: comesAndGoes(name, start, up, /^down /m) },
    terminal: { words, exit: 130, frames: "all", during: comesAndGoes(name, start, name, gone) },
    json: {
      words: [...words, "--json"],
      exit: 130,
      schema: "ls-watch",
      isLines: true,
      during: comesAndGoes(name, start, '"up"', '"down"'),
    },
  };
}

/** The table of `top` when all four actors have told of themselves, the warnings that a busy machine causes left out. */
const wholeTop = /^shop {2}.*\n.*NAME.*\n(?:.*%.*\n){4}/gm;

function heldTop(text: string): string {
  return text.match(wholeTop)?.at(-1) ?? text;
}

/** In a terminal they are yellow. */
function withoutWarnings(text: string): string {
  return text
    .split("\n")
    .filter((line) => !Bun.stripANSI(line).startsWith("! "))
    .join("\n");
}

const someWarnings = (text: string): string => text.replace(/("warnings": ?)\[[^\]]*\]/, "$1<list>");

/** Crashes once, and is there again. */
function crashed(name: string): ReturnType<typeof beside> {
  return beside(
    name,
    async (actor, stage) => {
      const events = stage.shop.tree.nursery.events();
      await actor.run.crash();
      for await (const { type, id } of events) if (type === "restarted" && id.name === name) break;
    },
    { restart: { when: "on-failure", backoffMs: [1, 1] } },
  );
}

/** An actor starts, crashes, is restarted and ends while the command follows; then Ctrl-C. */
function lives(name: string): (run: Running, stage: Stage) => Promise<void> {
  const twice = (type: string): RegExp => new RegExp(`(?:${type}.*${name}[^]*){2}`);
  return async (run, stage) => {
    const actor = await stage.start(name, { restart: { when: "on-failure", backoffMs: [1, 1] } });
    await run.shows(new RegExp(`started.*${name}`));
    await actor.run.crash();
    await run.shows(new RegExp(`restarted.*${name}`));
    await run.shows(twice("started"));
    await stage.end(name);
    await run.shows(twice("ended"));
    run.interrupt();
  };
}

/** The registrar and the parent tell of the same end, in either order. */
function sortedByType(text: string): string {
  const typeOf = (line: string): string => /died|ended|restarted|started|\^C/.exec(line)?.[0] ?? line;
  const byType = (a: string, b: string): number => (typeOf(a) < typeOf(b) ? -1 : 1);
  return text.replace(
    /^(?:.*\n)+/,
    (lines) => `${lines.trimEnd().split("\n").toSorted(byType).join("\n")}\n`,
  );
}

function followed(name: string): Form {
  const cell = (own: string): Omit<JsonCell, "schema"> => ({
    words: ["events", own, "--follow", "--since", "1h"],
    exit: 130,
    isLines: true,
    held: sortedByType,
    during: lives(own),
  });
  return apart(name, cell, "events-line");
}

/** Writes a line before the command runs. */
function wrote(name: string): ReturnType<typeof beside> {
  return beside(name, (actor) => actor.run.say(`${name} is open`, "and has two lines"), { output: "keep" });
}

/** Writes a line while the command follows it; then Ctrl-C. */
function writes(name: string): (run: Running, stage: Stage) => Promise<void> {
  return async (run, stage) => {
    await run.shows("two lines");
    const actor = await stage.start(`${name}-2`, { output: "keep" });
    await actor.run.say("a third line");
    await run.shows("a third line");
    await stage.end(`${name}-2`);
    run.interrupt();
  };
}

async function opens(run: Running): Promise<void> {
  await run.shows(/token=[\w-]{22}/);
  run.interrupt();
}

async function opensInTerminal(run: Running): Promise<void> {
  await run.shows("Ctrl-C ends the page");
  run.interrupt();
}

export const look: Rows = {
  ls: {
    forms: {
      "": everywhere(["ls"], "ls"),
      GLOB: everywhere(["ls", "?ar*"], "ls"),
      "--watch": watched(["ls", "web*", "--watch"], "web", startThere),
      "--all": apart("gone", (name) => ({ words: ["ls", "--all", name], ...crashed(name) }), "ls"),
    },
    exits: clientExits(["ls"], {
      usage: { words: ["ls", "--sort", "size"] },
      noActor: { words: ["ls", "markt"] },
    }),
  },
  tree: {
    forms: {
      "": everywhere(["tree"], "tree"),
      NAME: everywhere(["tree", "orders"], "tree"),
      "--watch": watched(["tree", "orders", "--watch"], "web", startBelow),
    },
    exits: clientExits(["tree"], {
      usage: { words: ["tree", "shop", "orders"] },
      noActor: { words: ["tree", "orrders"] },
    }),
  },
  info: {
    forms: {
      "": everywhere(["info", "market"], "info"),
      "after a crash": apart("back", (name) => ({ words: ["info", name], ...crashed(name) }), "info"),
    },
    exits: clientExits(["info", "market"], {
      usage: { words: ["info"] },
      noActor: { words: ["info", "markt"] },
    }),
  },
  top: {
    forms: {
      "": {
        pipe: {
          words: ["top", "-n", "100ms"],
          exit: 130,
          held: heldTop,
          async during(run) {
            await run.shows(wholeTop);
            run.interrupt();
          },
        },
        terminal: {
          words: ["top", "-n", "100ms"],
          frames: "last",
          async during(run: TerminalRun) {
            await run.shows(/(?:.*%.*\n){4}/);
            run.type("q");
          },
        },
        json: {
          words: ["top", "-n", "100ms", "--json"],
          exit: 130,
          schema: "top-line",
          isLines: true,
          held: (text) => someWarnings(`${text.split("\n").at(-2)}\n`),
          async during(run) {
            await run.shows(/^(?!.*"cpuShare":null).*"market".*\n/m);
            run.interrupt();
          },
        },
      },
      "--once": everywhere(["top", "--once", "-n", "100ms"], "top", {
        held: (text) => someWarnings(withoutWarnings(text)),
      }),
    },
    exits: clientExits(["top", "--once", "-n", "100ms"], {
      usage: { words: ["top", "-n", "soon"] },
      noActor: { words: ["top", "markt", "--once"] },
    }),
  },
  events: {
    forms: {
      "": everywhere(["events", "market"], "events"),
      "after a crash": apart("vault", (name) => ({ words: ["events", name], ...crashed(name) }), "events"),
      "--follow": followed("feed"),
    },
    exits: clientExits(["events"], {
      usage: { words: ["events", "--since", "yesterday"] },
      noActor: anyName,
    }),
  },
  logs: {
    forms: {
      "": apart("log", (name) => ({ words: ["logs", name], ...wrote(name) }), "logs"),
      "--follow": apart(
        "tail",
        (name) => ({
          words: ["logs", `${name}*`, "--follow"],
          exit: 130,
          isLines: true,
          ...wrote(name),
          during: writes(name),
        }),
        "logs-line",
      ),
    },
    exits: clientExits(["logs"], {
      usage: { words: ["logs", "--tail", "-1"] },
      noActor: { words: ["logs", "markt"] },
    }),
  },
  ping: {
    forms: { "": everywhere(["ping", "market", "-c", "2"], "ping") },
    exits: clientExits(["ping", "market"], {
      usage: { words: ["ping", "market", "-c", "0"] },
      noActor: { words: ["ping", "markt"] },
    }),
  },
  doctor: {
    forms: {
      "": everywhere(["doctor"], "doctor"),
      NAME: everywhere(["doctor", "market"], "doctor"),
    },
    exits: {
      ...clientExits(["doctor"], {
        failed: { words: ["doctor"], at: "nowhere" },
        usage: { words: ["doctor", "shop", "orders"] },
        noActor: { because: "an actor that isn't there is something that it finds: 1" },
      }),
      noRegistrar: { because: "a registrar that isn't there is something that it finds: 1" },
      timeout: { because: "a registrar that doesn't answer is something that it finds: 1" },
    },
  },
  ui: {
    forms: {
      "": {
        pipe: { words: ["ui", "--no-open"], exit: 130, during: opens },
        terminal: { words: ["ui", "--no-open"], exit: 130, during: opensInTerminal },
        json: { words: ["ui", "--no-open", "--json"], exit: 130, schema: "ui", during: opens },
      },
    },
    exits: {
      ...clientExits(["ui", "--no-open"], {
        usage: { words: ["ui", "--port", "70000"] },
        noActor: { because: "it takes no name of an actor" },
      }),
      timeout: { because: "the page waits for a registrar that doesn't answer" },
    },
  },
};
