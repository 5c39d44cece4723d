/** `furrow dev`, with files that change while the program runs. */
import { describe, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { TerminalRun } from "../support/command-line.ts";
import { Command } from "../support/command.ts";
import { World } from "../support/world.ts";

const furrow = join(import.meta.dir, "../../src/index.ts");

/** A program with two actors, in a folder of its own; it prints whatever it and its actors are when they begin. */
class Project implements AsyncDisposable {
  readonly world: World = new World();
  readonly folder: string;

  constructor() {
    const folder = join(this.world.dir, "project");
    mkdirSync(folder);
    this.folder = realpathSync(folder);
    this.write("shared.ts", "export const shared = 1;");
    this.write(
      "one.ts",
      this.#actor("one", 'import { shared } from "./shared.ts";\nconsole.log(`one has shared ${shared}`);'),
    );
    this.write("two.ts", this.#actor("two", ""));
    this.write("own.ts", "export const version = 1;");
    this.write(
      "main.ts",
      `import { openNursery } from ${JSON.stringify(furrow)};
       import { version } from "./own.ts";
       console.log(\`main \${version} \${process.argv.slice(2)}\`);
       await using nursery = await openNursery();
       for (const name of ["one", "two"])
         await nursery.startActor(name, { module: new URL(\`./\${name}.ts\`, import.meta.url), data: name });
       console.log("up");
       await nursery.join();`,
    );
  }

  /** As an editor does: in another file, which then takes the place of the old one. */
  write(name: string, text: string): void {
    writeFileSync(join(this.folder, `.${name}.new`), text);
    renameSync(join(this.folder, `.${name}.new`), join(this.folder, name));
  }

  append(name: string, text: string): void {
    appendFileSync(join(this.folder, name), text);
  }

  async start(): Promise<Command> {
    const command = new Command(this.world, ["dev", join(this.folder, "main.ts"), "--", "x"]);
    await inOrder(command, ["main 1 x", "one has shared 1", "one of one", "two of two", "up"]);
    return command;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }

  #actor(name: string, more: string): string {
    return `import { currentActor } from ${JSON.stringify(furrow)};
      ${more}
      console.log(\`${name} of \${currentActor().data}\`);
      currentActor().onEnd(() => console.log("${name} ends"));
      export function nothing() {}`;
  }
}

async function inOrder(command: Command, lines: readonly string[]): Promise<void> {
  for (const line of lines) expect(await command.line()).toBe(line);
}

/** Ends it as Ctrl-C does, and returns what it said, without process ids. */
async function said(command: Command): Promise<string[]> {
  expect(await command.ended("SIGINT")).toBe(130);
  const text = (await command.stderr).replaceAll(/\(pid \d+\)/g, "(pid)").replaceAll(/\S*\/project\//g, "");
  return text.trimEnd().split("\n");
}

const cancelled = 'furrow: SIGINT: cancelling actor "root" (pid)';

describe("furrow dev", () => {
  test("replaces only the actor whose module has changed, with its data", async () => {
    await using project = new Project();
    await using command = await project.start();
    project.append("two.ts", '\nconsole.log("two is new");');
    // the old one ends when the new one is there
    await inOrder(command, ["two of two", "two is new", "two ends"]);
    expect(await said(command)).toEqual(['furrow: reloading actor "two": two.ts changed', cancelled]);
  });

  test("replaces an actor when a file changes that its module imports", async () => {
    await using project = new Project();
    await using command = await project.start();
    project.write("shared.ts", "export const shared = 2;");
    await inOrder(command, ["one has shared 2", "one of one", "one ends"]);
    expect(await said(command)).toEqual(['furrow: reloading actor "one": shared.ts changed', cancelled]);
  });

  test("leaves an actor as it is when its new version has a syntax error or can't be loaded, until it can", async () => {
    await using project = new Project();
    await using command = await project.start();
    project.append("two.ts", "\nconst = 1;");
    await command.says("goes on as it was");
    project.write("two.ts", 'throw new Error("not yet");');
    await command.says("goes on as it was", 2);
    project.write("two.ts", 'console.log("two is better");');
    await inOrder(command, ["two is better", "two ends"]);
    expect(await said(command)).toEqual([
      'furrow: actor "two" goes on as it was: two.ts:6:7: Expected identifier but found "="',
      'furrow: reloading actor "two": two.ts changed',
      expect.stringContaining('furrow: actor "two" goes on as it was: '),
      'furrow: reloading actor "two": two.ts changed',
      cancelled,
    ]);
  });

  test("restarts the program in order when one of its own files has changed, unless that has a syntax error", async () => {
    await using project = new Project();
    await using command = await project.start();
    project.write("own.ts", "export const version = ;");
    await command.says("goes on as it was");
    project.write("own.ts", "export const version = 2;");
    const lines = [await command.line(), await command.line()];
    expect(lines.toSorted()).toEqual(["one ends", "two ends"]);
    await inOrder(command, ["main 2 x", "one has shared 1", "one of one", "two of two", "up"]);
    expect(await said(command)).toEqual([
      "furrow: main.ts goes on as it was:",
      "  1 | export const version = ;",
      "                             ^",
      "  error: Unexpected ;",
      "      at own.ts:1:24",
      "furrow: restarting main.ts: own.ts changed",
      'furrow: SIGTERM: cancelling actor "root" (pid)',
      cancelled,
    ]);
  });

  test("sees a file that is new", async () => {
    await using project = new Project();
    await using command = await project.start();
    project.write("more.ts", "export const version = 3;");
    project.write("own.ts", 'export { version } from "./more.ts";');
    await command.line();
    await command.line();
    await inOrder(command, ["main 3 x", "one has shared 1", "one of one", "two of two", "up"]);
    project.write("more.ts", "export const version = 4;");
    await command.line();
    await command.line();
    await inOrder(command, ["main 4 x"]);
    expect(await command.ended("SIGTERM")).toBe(143);
  });

  test("ends the program once, on Ctrl-C in a terminal", async () => {
    await using project = new Project();
    await using run = new TerminalRun(project.world.env, ["dev", join(project.folder, "main.ts")]);
    await run.shows("up\n");
    run.type("\u0003");
    const { exitCode, text } = await run.outcome();
    expect(exitCode).toBe(130);
    expect(text).toContain("two ends");
    expect(text.split("cancelling actor").length).toBe(2);
  });

  test("waits for a change when the program has ended", async () => {
    await using project = new Project();
    project.write("main.ts", 'console.log("ends"); process.exit(3);');
    await using command = new Command(project.world, ["dev", join(project.folder, "main.ts")]);
    await inOrder(command, ["ends"]);
    await command.says("waiting for a change");
    project.write("main.ts", 'console.log("ends again");');
    await inOrder(command, ["ends again"]);
    await command.says("waiting for a change", 2);
    expect(await said(command)).toEqual([
      "furrow: main.ts ended with code 3: waiting for a change",
      "furrow: main.ts ended with code 0: waiting for a change",
    ]);
  });
});
