/** Many programs ask for the same actor at random moments, and the one that starts it is killed: there is never a second. */
import { describe, expect, test } from "bun:test";

import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { ask, openPrograms, type Singleton, Traces } from "../support/singleton.ts";
import { announce, Chance, inFull, median, scaled, seed } from "../support/soak.ts";
import { type Program, until, World } from "../support/world.ts";

const rounds = 200;
const programs = 10;
const askersEach = 5;
/** Askers of a program start within so many ms of each other, and so do the programs. */
const spreadMs = 30;
/** A kill comes up to so many ms after the process has begun to start: in half of the rounds before it may go on. */
const killWithinMs = 60;

interface Round {
  readonly name: string;
  readonly isKilled: boolean;
  /** Whether the actor can't come up before the kill. */
  readonly isHeldBack: boolean;
}

/** The rounds of one run, and the programs that live through them. */
class Flights {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #programs: Program[] = [];
  kills = 0;
  registrarKills = 0;
  readonly tookMs: number[] = [];

  constructor(world: World, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
  }

  async round({ name, isKilled, isHeldBack }: Round): Promise<void> {
    const missing = programs - this.#programs.length;
    this.#programs.push(...(await openPrograms(this.#world, missing)));
    const traces = new Traces(this.#world, name);
    if (isHeldBack) traces.close();
    const began = performance.now();
    const asked = this.#programs.map((program) => this.#askIn(program, name, traces));
    if (isKilled) await this.#kill(traces);
    traces.open();
    const answers = (await Promise.all(asked)).flat();
    this.tookMs.push(performance.now() - began);
    // the program that was killed may have had its answers before
    const ofOthers = answers.length - (isKilled && answers.length === programs * askersEach ? askersEach : 0);
    expect(ofOthers).toBe(this.#programs.length * askersEach);
    for (const answer of answers) expect(answer).toMatch(/^[0-9a-f-]{36}$/);
    // and all reach the one that lives
    const reached = await Promise.all(
      this.#programs.map((program) => callIn(program, name, traces.options())),
    );
    const living = traces.starts.filter(({ pid }) => isProcessAlive(pid));
    expect(new Set(reached)).toEqual(new Set(living.map(({ pid }) => pid)));
    expect(living).toHaveLength(1);
    expect(new Set(answers).size).toBeLessThanOrEqual(isKilled ? 2 : 1);
    expect([traces.overlaps, traces.starts.length]).toEqual([[], isKilled ? expect.any(Number) : 1]);
    expect(traces.starts.length).toBeLessThanOrEqual(2);
    await this.#end(name, traces);
  }

  async #askIn(program: Program, name: string, traces: Traces): Promise<string[]> {
    const delays = Array.from({ length: askersEach }, () => this.#chance.below(spreadMs));
    const from = this.#chance.below(spreadMs);
    const each = delays.map(async (delay) => {
      await Bun.sleep(from + delay);
      return await ask(program, 1, name, traces.options());
    });
    try {
      return (await Promise.all(each)).flat();
    } catch (error) {
      // the error of a killed program
      if (!this.#programs.includes(program)) return [];
      throw error;
    }
  }

  /** Kills the program that starts the actor. */
  async #kill(traces: Traces): Promise<void> {
    const delayMs = this.#chance.below(killWithinMs);
    await until(() => traces.starts.length > 0, 20_000);
    await Bun.sleep(delayMs);
    const [first] = traces.starts;
    const winner = this.#programs.find(({ pid }) => pid === first!.parent)!;
    this.kills++;
    if (await winner.run(({ furrow }) => furrow.currentActor().isRegistrar)) this.registrarKills++;
    this.#programs.splice(this.#programs.indexOf(winner), 1);
    await winner.kill();
  }

  /** Ends the actor in order. */
  async #end(name: string, traces: Traces): Promise<void> {
    await this.#programs[0]!.run(async ({ furrow, args }) => {
      await using portal = await furrow.findActor(args[0] as string, { raiseOnNone: true });
      await portal.cancelActor();
    }, name);
    await until(() => !traces.starts.some(({ pid }) => isProcessAlive(pid)));
  }
}

/** The process that answers a call in the end. One that was killed may not have been seen to end yet. */
async function callIn(program: Program, name: string, options: object): Promise<number> {
  return await program.run(
    async ({ furrow, keep, args }) => {
      const nursery = keep["nursery"] as import("../../src/index.ts").Nursery;
      const [name, options] = args as [string, { module: string }];
      for (;;) {
        try {
          return await (await nursery.findOrStart<Singleton>(name, options)).run.pid();
        } catch (error) {
          if (!(error instanceof furrow.TransportClosedError)) throw error;
        }
      }
    },
    name,
    options,
  );
}

describe("findOrStart, asked by 50 in 10 programs, a third of the time with a kill of the winner,", () => {
  test(
    "starts one process at a time, and keeps nobody waiting for ever",
    async () => {
      const count = scaled(rounds);
      announce(`${count} rounds of single flight`);
      const chance = new Chance(seed);
      await using world = new World();
      const flights = new Flights(world, chance);
      for (let at = 0; at < count; at++) {
        const isKilled = chance.below(3) === 0;
        await flights.round({ name: `one-${at}`, isKilled, isHeldBack: isKilled && chance.below(2) === 0 });
      }
      const { kills, registrarKills, tookMs } = flights;
      console.log(
        `soak:   ${kills} kills, ${registrarKills} of them of the registrar; a round took ` +
          `${Math.round(median(tookMs))} ms in the middle, ${Math.round(Math.max(...tookMs))} ms at most`,
      );
    },
    inFull ? 900_000 : 180_000,
  );
});
