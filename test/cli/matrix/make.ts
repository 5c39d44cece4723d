/** The commands that make something run. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

import type { Running } from "../../support/command-line.ts";
import type { Absent, Cell, Rows } from "../../support/matrix.ts";
import type { Stage } from "../../support/stage.ts";
import { until } from "../../support/world.ts";

const app = join(import.meta.dir, "../../fixtures/services/app.ts");
const noActor: Absent = { because: "it looks for no actor" };

/** With the path of a file that has that text. */
function withFile(
  command: string,
  name: string,
  text: string,
  ...more: readonly string[]
): (stage: Stage) => readonly string[] {
  return (stage) => [command, stage.write(name, text), ...more];
}

/** Ctrl-C once it shows that. */
function interruptedAt(words: Cell["words"], shown: string | RegExp): Cell {
  return {
    words,
    exit: 130,
    held: (text) => text.replaceAll(/(?<=^up )\d+/gm, "<pid>"),
    async during(run: Running) {
      await run.shows(shown);
      run.interrupt();
    },
  };
}

/** A program of one file, which waits for its end. */
const waits = 'console.log("up"); setInterval(() => {}, 1_000);';
const developed = interruptedAt(withFile("dev", "waits.ts", waits), "up");

const served = interruptedAt(["registrar"], /serving|standing by/);

const done = ["run", app, "--", "ends"];
const ended: Cell = { words: done, held: (text) => text.replace(/(?<=^up )\d+/, "<pid>") };

/** Small, and fast to build. */
const greets = 'console.log("hello");';
function built(...more: readonly string[]): (stage: Stage) => readonly string[] {
  return withFile("build", "greets.ts", greets, "--no-bytecode", ...more);
}

/** Ctrl-C while the bundler runs: what it makes is in a folder beside the executable. */
async function interruptBuild(run: Running, { folder }: Stage): Promise<void> {
  await until(() => readdirSync(folder).some((name) => name.startsWith("greets-")));
  run.interrupt();
  await until(() => !readdirSync(folder).some((name) => name.startsWith("greets-")));
}

export const make: Rows = {
  dev: {
    forms: {
      "": {
        pipe: developed,
        terminal: developed,
        json: { because: "it prints what the program prints" },
      },
    },
    exits: {
      failed: { because: "a program that fails may be mended: it waits for a change" },
      usage: { words: ["dev", "nowhere.ts"] },
      noRegistrar: { because: "the program looks for one, or becomes it" },
      noActor,
      timeout: { because: "a program that doesn't end in time is killed" },
      interrupted: developed,
    },
  },
  registrar: {
    forms: {
      "": {
        pipe: served,
        terminal: served,
        json: {
          ...interruptedAt(["registrar", "--json"], /"state"/),
          schema: "registrar-line",
          isLines: true,
        },
      },
    },
    exits: {
      failed: { words: ["registrar"], at: "foreign" },
      usage: { words: ["registrar", "--addr", "somewhere"] },
      noRegistrar: { words: ["registrar"], at: "silent" },
      noActor,
      timeout: { because: "it serves for as long as it runs" },
      interrupted: served,
    },
  },
  run: {
    forms: {
      "": {
        pipe: ended,
        terminal: ended,
        json: { because: "it prints what the program prints" },
      },
    },
    exits: {
      failed: { words: ["run", app, "--restart", "never", "--", "fails"] },
      usage: { words: ["run", "nowhere.ts"] },
      noRegistrar: { words: done, at: "silent" },
      noActor,
      timeout: { because: "an actor that isn't ready in time has failed to start: 1" },
      interrupted: interruptedAt(["run", app], /^up /m),
    },
  },
  build: {
    forms: {
      "": {
        pipe: { words: built() },
        terminal: { words: built() },
        json: { words: built("--json"), schema: "build" },
      },
    },
    exits: {
      failed: { words: withFile("build", "broken.ts", "export const version = ;") },
      usage: { words: ["build", "nowhere.ts"] },
      noRegistrar: { because: "it looks for none" },
      noActor,
      timeout: { because: "it takes as long as the bundler does" },
      interrupted: { words: built(), during: interruptBuild },
    },
  },
};
