/** The registrar killed at random, among others: all that is left is found again, by all, and never taken for absent. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { Address, Transport } from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import type { Known, Note, Seen } from "../fixtures/lookers.ts";
import { announce, Chance, inFull, median, seed } from "../support/soak.ts";
import { type Program, until, World } from "../support/world.ts";

const rounds = 500;
const shortRounds = 6;
/** Then all programs end in order, and the next ones make up a registry of another kind. */
const roundsOfOne = 13;
/** Registries side by side. */
const atOnce = 2;
const programs = 4;
const signals = ["SIGKILL", "SIGTERM", "SIGSEGV"] as const;
const module = new URL("../fixtures/lookers.ts", import.meta.url).href;
type Lookers = typeof import("../fixtures/lookers.ts");

/** How programs of one registry find each other. */
interface Place {
  readonly what: string;
  readonly registryAddrs: Address[];
  readonly enableTransports: Transport[];
}

const places: ((world: World) => Place)[] = [
  (world) => ({ what: "unix alone", registryAddrs: [world.unix], enableTransports: ["unix"] }),
  (world) => ({
    what: "unix and tcp",
    registryAddrs: world.registryAddrs,
    enableTransports: ["unix", "tcp"],
  }),
  (world) => ({ what: "tcp alone", registryAddrs: [world.tcp], enableTransports: ["tcp"] }),
  (world) => ({
    what: "a socket outside the runtime directory",
    registryAddrs: [`unix://${world.dir}/out/r.sock`],
    enableTransports: ["unix"],
  }),
];

/** What all rounds found. */
class Tally {
  readonly faults: string[] = [];
  readonly kills: Record<string, number> = {};
  readonly errors: Record<string, number> = {};
  /** Milliseconds from the kill of a registrar until all were found again, by all; without and with a stop on the way. */
  readonly times: { plain: number[]; stopped: number[] } = { plain: [], stopped: [] };
  lookups = 0;
  falseNulls = 0;
  stale = 0;
  orphans = 0;
  files = 0;

  count(of: Record<string, number>, what: string, by = 1): void {
    of[what] = (of[what] ?? 0) + by;
  }

  fault(what: string): void {
    console.log(`soak:   ${what}`);
    this.faults.push(what);
  }

  /** `living`: all that was registered before the round and lived until its end. */
  add(where: string, { looker, lookups, notes }: Seen, living: ReadonlySet<string>): void {
    this.lookups += lookups;
    const isOfLiving = ({ uuid }: Note): boolean => uuid === "" || living.has(uuid);
    const nulls = notes.filter((note) => note.what === "null" && isOfLiving(note));
    const stale = notes.filter(({ what }) => what === "stale");
    this.falseNulls += nulls.length;
    this.stale += stale.length;
    for (const { what, way, error } of notes.filter(isOfLiving))
      if (what === "error") this.count(this.errors, `${error} of ${way}`);
    for (const [first, all] of [[nulls[0], nulls.length] as const, [stale[0], stale.length] as const])
      if (first !== undefined)
        this.fault(`${where}: ${looker} got ${all} × ${first.what}, first ${first.way} of ${first.name}`);
  }
}

/** One program of a registry: its place goes to another one when it has ended. */
class Resident {
  readonly program: Program;
  /** Which of the registry's programs it is, and so its name. */
  readonly at: number;
  members: Known[] = [];

  constructor(program: Program, at: number) {
    this.program = program;
    this.at = at;
  }

  async begin({ registryAddrs, enableTransports }: Place): Promise<void> {
    const options = { name: `p${this.at}`, registryAddrs, enableTransports };
    const children = Array.from({ length: inFull ? 1 + (this.at % 2) : 1 }, (_, n) => `p${this.at}-${n}`);
    await this.call("begin", options, children);
    await this.look();
  }

  async look(): Promise<void> {
    this.members = await this.call("members");
  }

  async call<K extends keyof Lookers>(
    fn: K,
    ...args: Parameters<Lookers[K]>
  ): Promise<Awaited<ReturnType<Lookers[K]>>> {
    return (await this.program.run(
      async ({ args: [from, called, given] }) => {
        const lookers = (await import(from as string)) as Record<string, (...all: unknown[]) => unknown>;
        return await lookers[called as string]!(...(given as unknown[]));
      },
      module,
      fn,
      args,
    )) as Awaited<ReturnType<Lookers[K]>>;
  }
}

/** All that chance decides of a round, drawn before it begins: the same seed gives the same rounds. */
class Plan {
  readonly isTakeover: boolean;
  readonly isChild: boolean;
  readonly victim: number;
  readonly signal: (typeof signals)[number];
  readonly killAfterMs: number;
  /** A second program, killed under the takeover: any, or the next registrar as soon as it stands. */
  readonly second:
    | { readonly victim: number; readonly isNext: boolean; readonly afterMs: number }
    | undefined;
  /** The registrar is stopped for a while: the one that is killed meanwhile, or else the next. */
  readonly stop: { readonly of: "old" | "next"; readonly ms: number } | undefined;
  /** The program that takes the victim's place boots at that moment, not when all is over. */
  readonly bootAfterMs: number | undefined;

  constructor(chance: Chance) {
    this.isTakeover = chance.below(3) < 2;
    this.isChild = chance.below(2) === 0;
    this.victim = chance.next();
    this.signal = this.isTakeover ? "SIGKILL" : chance.pick(signals);
    this.killAfterMs = chance.below(40);
    const isNext = chance.below(2) === 0;
    const second = { victim: chance.next(), isNext, afterMs: chance.below(isNext ? 20 : 250) };
    this.second = chance.below(4) === 0 ? second : undefined;
    // now and then for longer than a new registrar waits for those who were there before
    const longMs = chance.below(6) === 0 ? 2_000 : 0;
    const stop = { of: chance.pick(["old", "next"] as const), ms: longMs + 20 + chance.below(700) };
    this.stop = chance.below(6) === 0 ? stop : undefined;
    const bootAfterMs = chance.below(80);
    this.bootAfterMs = chance.below(3) === 0 ? bootAfterMs : undefined;
  }
}

/** The programs of one registry. */
class Population {
  readonly #world: World;
  readonly #place: Place;
  readonly #tally: Tally;
  readonly #env: Record<string, string>;
  readonly #residents: Resident[] = [];
  /** Is up already, so that it can boot at a certain moment. */
  #spare: Promise<Program>;

  constructor(world: World, place: Place, tally: Tally) {
    this.#world = world;
    this.#place = place;
    this.#tally = tally;
    const run = join(world.dir, "run");
    mkdirSync(run, { mode: 0o700 });
    this.#env = { FURROW_RUNTIME_DIR: run };
    this.#spare = world.program(this.#env);
  }

  async begin(): Promise<void> {
    await Promise.all(Array.from({ length: programs }, (_, at) => this.#add(at)));
  }

  async round(where: string, plan: Plan): Promise<void> {
    const before = this.#residents.flatMap(({ members }) => members);
    await Promise.all(this.#residents.map((one) => one.call("lookAll", before)));
    const registrar = await this.#registrar();
    const kill = new Kills(this.#tally, this.#residents);
    await Bun.sleep(plan.killAfterMs);
    const booting: Promise<void>[] = [];
    const events: Promise<void>[] = [];
    if (plan.stop?.of === "old") events.push(stopFor(registrar, plan.stop.ms));
    const victim = plan.isTakeover ? registrar : pick(this.#residents, plan.victim);
    if (!plan.isTakeover && plan.isChild) kill.child(victim, plan);
    else {
      const { bootAfterMs } = plan;
      if (bootAfterMs !== undefined) booting.push(Bun.sleep(bootAfterMs).then(() => this.#add(victim.at)));
      kill.program(victim, plan.signal);
    }
    const { second, stop } = plan;
    if (second !== undefined) events.push(this.#killSecond(kill, second));
    if (stop?.of === "next") events.push(this.#stopNext(kill, stop.ms));
    await Promise.all(events);

    const living = before.filter(({ uuid }) => !kill.doomed.has(uuid));
    const doomed = before.filter(({ uuid }) => kill.doomed.has(uuid));
    const all = await Promise.all(kill.left.map((one) => one.call("settleAll", living, doomed)));
    const uuids = new Set(living.map(({ uuid }) => uuid));
    for (const seen of all.flat()) this.#tally.add(where, seen, uuids);
    const ms = Math.max(...all.flat().map(({ foundAt }) => foundAt)) - kill.lastAt;
    if (plan.isTakeover) this.#tally.times[plan.stop === undefined ? "plain" : "stopped"].push(ms);

    await Promise.all(booting);
    await Promise.all(kill.victims.map(({ program }) => ended(program)));
    const vacant = kill.victims.filter((one) => booting.length === 0 || one !== victim);
    for (const one of kill.victims) this.#residents.splice(this.#residents.indexOf(one), 1);
    await Promise.all(vacant.map(({ at }) => this.#add(at)));
    await Promise.all(this.#residents.map((one) => one.look()));
    await this.#checkOrphans(where);
  }

  async #killSecond(kill: Kills, { victim, isNext, afterMs }: NonNullable<Plan["second"]>): Promise<void> {
    const next = isNext ? await this.#next(kill, "isRegistrar") : undefined;
    await Bun.sleep(afterMs);
    kill.program(next ?? pick(kill.left, victim));
  }

  /** A stop that is longer than a new registrar waits for a member is for that registrar itself. */
  async #stopNext(kill: Kills, ms: number): Promise<void> {
    await stopFor(await this.#next(kill, ms < 1_000 ? "isRegistrar" : "isElected"), ms);
  }

  /** Ends all programs in order: half of them by a signal, all at once. */
  async end(where: string): Promise<void> {
    const spare = await this.#spare;
    await Promise.all(
      this.#residents.map(async (one, at) => {
        if (at % 2 === 0) {
          for (const start of await one.call("end")) this.#tally.fault(`${where}: ${start}`);
          await one.program.kill();
        } else {
          one.program.signal("SIGTERM");
          await ended(one.program);
        }
      }),
    );
    this.#residents.length = 0;
    await this.#checkOrphans(where);
    await spare.kill();
    const files = readdirSync(this.#world.dir, { recursive: true }).map(String);
    for (const file of files) {
      if (file === "run" || file === "out" || file.endsWith("/secret")) continue;
      this.#tally.files++;
      this.#tally.fault(`${where}: ${file} is left`);
    }
  }

  /** Kills all that is left, and looks for orphans. */
  async giveUp(where: string): Promise<void> {
    await Promise.all(this.#residents.splice(0).map(({ program }) => program.kill()));
    await this.#checkOrphans(where);
  }

  async #add(at: number): Promise<void> {
    const spare = this.#spare;
    this.#spare = this.#world.program(this.#env);
    const resident = new Resident(await spare, at);
    await resident.begin(this.#place);
    this.#residents.push(resident);
  }

  async #registrar(): Promise<Resident> {
    const are = await Promise.all(this.#residents.map((one) => one.call("isRegistrar")));
    const registrars = this.#residents.filter((_one, at) => are[at]);
    if (registrars.length !== 1) throw new Error(`${registrars.length} programs are the registrar`);
    return registrars[0]!;
  }

  /** The next registrar as soon as it stands, or is elected; it may be one that has only just booted. */
  async #next(kills: Kills, by: "isRegistrar" | "isElected"): Promise<Resident | undefined> {
    let next: Resident | undefined;
    await until(async () => {
      const left = this.#residents.filter((one) => !kills.victims.includes(one));
      // one of them may be killed under the question
      const are = await Promise.all(left.map((one) => one.call(by).catch(() => false)));
      next = left.find((_one, at) => are[at]);
      return next !== undefined;
    }).catch(() => {});
    return next;
  }

  /** Processes of this registry whose root is dead; each has its time to end. */
  async #checkOrphans(where: string): Promise<void> {
    const spare = await this.#spare;
    const mine = new Set(this.#residents.flatMap(({ members }) => members.map(({ pid }) => pid)));
    for (const { program } of this.#residents) mine.add(program.pid);
    mine.add(spare.pid);
    let orphans: number[] = [];
    await until(() => {
      orphans = processesWith(`FURROW_RUNTIME_DIR=${this.#env["FURROW_RUNTIME_DIR"]}`).filter(
        (pid) => !mine.has(pid),
      );
      return orphans.length === 0;
    }).catch(() => {
      this.#tally.orphans += orphans.length;
      this.#tally.fault(`${where}: processes ${orphans.join(", ")} have outlived their roots`);
      for (const pid of orphans.filter(isProcessAlive)) process.kill(pid, "SIGKILL");
    });
  }
}

/** The kills of one round. */
class Kills {
  readonly doomed = new Set<string>();
  readonly victims: Resident[] = [];
  left: readonly Resident[];
  lastAt = 0;
  readonly #tally: Tally;

  constructor(tally: Tally, residents: readonly Resident[]) {
    this.#tally = tally;
    this.left = Array.from(residents);
  }

  program(one: Resident, signal: NodeJS.Signals = "SIGKILL"): void {
    for (const { uuid } of one.members) this.doomed.add(uuid);
    this.left = this.left.filter((other) => other !== one);
    this.victims.push(one);
    this.#tally.count(this.#tally.kills, `${signal} of a program`);
    this.lastAt = Date.now();
    one.program.signal(signal);
  }

  child({ members }: Resident, { victim, signal }: Plan): void {
    const { uuid, pid } = pick(members.slice(1), victim);
    this.doomed.add(uuid);
    this.#tally.count(this.#tally.kills, `${signal} of a child`);
    this.lastAt = Date.now();
    process.kill(pid, signal);
  }
}

function pick<T>(from: readonly T[], fraction: number): T {
  return from[Math.floor(fraction * from.length)]!;
}

async function ended({ pid, process: { exited } }: Program): Promise<void> {
  await until(() => !isProcessAlive(pid), 20_000);
  await exited;
}

async function stopFor(one: Resident | undefined, ms: number): Promise<void> {
  one?.program.signal("SIGSTOP");
  await Bun.sleep(ms);
  one?.program.signal("SIGCONT");
}

function processesWith(variable: string): number[] {
  const pids = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`${variable}\0`) && isProcessAlive(pid);
    } catch {
      return false; // has ended meanwhile
    }
  });
}

describe("a registry whose registrar is killed at random", () => {
  test(
    "leaves no orphan, false null, stale answer or file",
    async () => {
      // the whole suite has only minutes
      const count = inFull ? rounds : shortRounds;
      announce(`${count} rounds of kills, of the registrar in two of three`);
      const tally = new Tally();
      const registries = Math.ceil(count / roundsOfOne);
      let begun = 0;

      const registry = async (number: number): Promise<void> => {
        // by the number, since those side by side are not always equally fast
        const chance = new Chance(seed + number);
        await using world = new World();
        const place = places[number % places.length]!(world);
        const where = `registry ${number}, ${place.what}`;
        const population = new Population(world, place, tally);
        const last = Math.min(roundsOfOne, count - number * roundsOfOne);
        let round = 0;
        try {
          await population.begin();
          while (round < last) await population.round(`${where}, round ${++round}`, new Plan(chance));
          await population.end(where);
        } catch (error) {
          tally.fault(`${where}, round ${round}: ${String(error)}`);
          await population.giveUp(where);
        }
      };
      const lane = async (): Promise<void> => {
        while (begun < registries) await registry(begun++);
      };
      await Promise.all(Array.from({ length: atOnce }, lane));
      report(tally);
      expect(tally.faults).toEqual([]);
    },
    inFull ? 3_600_000 : 120_000,
  );
});

function report({ kills, errors, times, lookups, falseNulls, stale, orphans, files }: Tally): void {
  const spread = (values: readonly number[]): string =>
    `${values.length} × median ${median(values)} ms, worst ${Math.max(...values)} ms`;
  console.log(`soak:   kills: ${JSON.stringify(kills)}`);
  console.log(`soak:   found again after a registrar's end: ${spread(times.plain)}`);
  console.log(`soak:   the same, with a registrar stopped on the way: ${spread(times.stopped)}`);
  console.log(`soak:   ${lookups} lookups, errors of those for the living: ${JSON.stringify(errors)}`);
  console.log(
    `soak:   ${falseNulls} false nulls, ${stale} stale answers, ${orphans} orphans, ${files} files left`,
  );
}
