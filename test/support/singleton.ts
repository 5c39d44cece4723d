/** Programs that ask for one actor, `test/fixtures/singleton.ts`, and what its files tell. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Program, World } from "./world.ts";

export const singleton: string = new URL("../fixtures/singleton.ts", import.meta.url).href;
export type Singleton = typeof import("../fixtures/singleton.ts");

/** One run of an instance: its process, and the program that started it. */
export interface Run {
  readonly pid: number;
  readonly parent: number;
}

/** The files of one actor that must not run twice. */
export class Traces {
  readonly path: string;

  constructor(world: World, name: string) {
    this.path = join(world.dir, name);
  }

  /** What `findOrStart` and `startActor` need for `singleton.ts`; with further variables in its environment. */
  options(env: Readonly<Record<string, string>> = {}): {
    module: string;
    env: Record<string, string>;
    output: "ignore";
    timeout: number;
  } {
    return {
      module: singleton,
      env: { SINGLETON: this.path, ...env },
      output: "ignore",
      timeout: 30_000,
    };
  }

  /** Keeps the instances from starting up, until `open`. */
  close(): void {
    writeFileSync(`${this.path}.gate`, "");
  }

  open(): void {
    rmSync(`${this.path}.gate`, { force: true });
  }

  /** All that have begun to start, in order. */
  get starts(): Run[] {
    return this.#read("starts");
  }

  /** Those that began while another one ran. */
  get overlaps(): Run[] {
    return this.#read("overlaps");
  }

  #read(file: string): Run[] {
    if (!existsSync(`${this.path}.${file}`)) return [];
    const whole = readFileSync(`${this.path}.${file}`, "utf8").matchAll(/^(\d+) (\d+)\n/gm);
    return Array.from(whole, ([, pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }));
  }
}

/** Starts programs with a nursery each. */
export async function openPrograms(world: World, count: number): Promise<Program[]> {
  return await Promise.all(Array.from({ length: count }, () => openProgram(world)));
}

async function openProgram(world: World): Promise<Program> {
  const program = await world.program();
  await program.run(
    async ({ furrow, keep, args }) => {
      keep["nursery"] = await furrow.openNursery(args[0] as object);
    },
    // a takeover may take seconds on a busy machine
    { enableTransports: ["unix", "tcp"], limits: { probeTimeoutMs: 3_000 } },
  );
  return program;
}

/** Ends the nursery of a program, and the actors that belong to it. */
export async function closeNursery(program: Program): Promise<void> {
  await program.run(async ({ keep }) => {
    await (keep["nursery"] as import("../../src/index.ts").Nursery)[Symbol.asyncDispose]();
  });
}

/** What so many askers in a program get: the uuid of the actor, or the name and message of an error. */
export async function ask(program: Program, count: number, name: string, options: object): Promise<string[]> {
  return await program.run(
    async ({ keep, args }) => {
      const nursery = keep["nursery"] as import("../../src/index.ts").Nursery;
      const [asked, name, options] = args as [number, string, { module: string }];
      const one = (): Promise<string> =>
        nursery.findOrStart(name, options).then(
          ({ id }) => id.uuid,
          (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`,
        );
      return await Promise.all(Array.from({ length: asked }, one));
    },
    count,
    name,
    options,
  );
}
