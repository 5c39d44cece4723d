/**
 * A registry in which everything happens at once: actors start, change, drain, crash and are started again, programs and
 * registrars die. What watchers were told is compared event by event, and what was acknowledged is asked for elsewhere.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { View } from "../fixtures/history.ts";
import { type Change, type Entry, Era, Fold, matches, type Segment, textOf } from "../support/history.ts";
import { announce, Chance, inFull, seed } from "../support/soak.ts";
import { type Program, World } from "../support/world.ts";

const rounds = inFull ? 200 : 4;
const programs = inFull ? 4 : 3;
/** Steps of each program in a round. */
const steps = inFull ? 4 : 3;
/** Children of a program, besides its instance of the service. */
const most = 3;
const names = ["a0", "a1", "b0"];
const service = "svc";
const patterns = ["*", "a*", "a0", service];
const settledWithinMs = 60_000;
const module = new URL("../fixtures/history.ts", import.meta.url).href;
type Fixture = typeof import("../fixtures/history.ts");

interface Child {
  readonly name: string;
  uuid: string;
  readonly isRestarted: boolean;
}

/** A watcher's log, read as it grows. */
class Log {
  readonly who: string;
  readonly fold: Fold;
  readonly file: string;
  /** Since the last comparison. */
  entries: Entry[] = [];
  /** What it had been told by then. */
  from = 0;
  #read = 0;

  constructor(file: string, who: string, pattern: string) {
    this.file = file;
    this.who = `${who} watching ${pattern}`;
    this.fold = new Fold(pattern);
  }

  /** Returns what is wrong with the new entries in themselves. */
  read(): string[] {
    if (!existsSync(this.file)) return [];
    const text = readFileSync(this.file, "utf8");
    const end = text.lastIndexOf("\n") + 1;
    const lines = text.slice(this.#read, end).split("\n").slice(0, -1);
    this.#read = end;
    return lines.flatMap((line) => {
      const entry = JSON.parse(line) as Entry;
      this.entries.push(entry);
      return this.fold.take(entry).map((fault) => `${this.who}: ${line} ${fault}`);
    });
  }

  /** The entries, a segment for each era, and none of them any more. */
  take(until: number | undefined): Segment[] {
    const { who } = this;
    const { pattern } = this.fold;
    const parts: { sync: Segment["sync"]; from: number; changes: Change[] }[] = [];
    if (this.from > 0) parts.push({ sync: undefined, from: this.from, changes: [] });
    for (const entry of this.entries)
      if (entry.type === "sync") parts.push({ sync: entry, from: entry.revision, changes: [] });
      else parts.at(-1)?.changes.push(entry);
    this.entries = [];
    this.from = this.fold.revision;
    return parts.map((part, at) =>
      Object.assign(part, { who, pattern, until: at === parts.length - 1 ? until : undefined }),
    );
  }
}

/** A program, its children and its watchers. */
class Resident {
  readonly program: Program;
  readonly name: string;
  readonly logs: Log[] = [];
  readonly children: Child[] = [];
  isDead = false;

  constructor(program: Program, name: string) {
    this.program = program;
    this.name = name;
  }

  async call<K extends keyof Fixture>(
    fn: K,
    ...args: Parameters<Fixture[K]>
  ): Promise<Awaited<ReturnType<Fixture[K]>>> {
    return (await this.program.run(
      async ({ args: [from, called, given] }) => {
        const fixture = (await import(from as string)) as Record<string, (...all: unknown[]) => unknown>;
        return await fixture[called as string]!(...(given as unknown[]));
      },
      module,
      fn,
      args,
    )) as Awaited<ReturnType<Fixture[K]>>;
  }

  kill(): void {
    this.isDead = true;
    this.program.signal("SIGKILL");
  }
}

const acts = ["start", "change", "change", "drain", "stop", "crash"] as const;

interface Step {
  readonly act: (typeof acts)[number];
  readonly name: string;
  /** Which child. */
  readonly which: number;
  readonly isRestarted: boolean;
  /** Which program is asked afterwards. */
  readonly asked: number;
}

/** All that chance decides of a round. */
class Plan {
  readonly steps: Step[][];
  /** Programs that are killed, one after the other. */
  readonly kills: { readonly of: "registrar" | "any"; readonly which: number; readonly afterMs: number }[] =
    [];
  readonly bootsAtOnce: boolean;
  /** A program whose instance of the service crashes. */
  readonly crashing: number;
  /** A program one of whose watches is ended and begun anew. */
  readonly rewatching: number;
  readonly rewatched: number;

  constructor(chance: Chance, round: number) {
    this.steps = Array.from({ length: programs }, () => Array.from({ length: steps }, () => step(chance)));
    // each kind at least once in the short form
    const kind = round < 3 ? round : chance.below(4);
    const kill = (of: "registrar" | "any"): Plan["kills"][number] => ({
      of,
      which: chance.next(),
      afterMs: chance.below(150),
    });
    if (kind === 0 || kind === 3) this.kills.push(kill("registrar"));
    if (kind === 1) this.kills.push(kill("any"));
    if (kind === 0 && programs > 3 && chance.below(3) === 0) this.kills.push(kill("registrar"));
    this.bootsAtOnce = chance.below(2) === 0 && this.kills.length === 1;
    this.crashing = chance.below(programs);
    this.rewatching = chance.below(programs);
    this.rewatched = chance.next();
  }
}

function step(chance: Chance): Step {
  return {
    act: chance.pick(acts),
    name: chance.pick(names),
    which: chance.next(),
    isRestarted: chance.below(2) === 0,
    asked: chance.next(),
  };
}

class Population {
  readonly faults: string[] = [];
  readonly counts: Record<string, number> = {};
  readonly #world: World;
  readonly #notes: string;
  residents: Resident[] = [];
  /** Logs that grow no more: their programs have died, or the watches were ended. */
  readonly #closed: Log[] = [];
  #era = new Era();
  #serial = 0;
  /** Whether a registrar dies in this round: then questions and changes may fail, and be repeated. */
  #isTakeover = false;
  where = "";

  constructor(world: World) {
    this.#world = world;
    this.#notes = join(world.dir, "notes");
    mkdirSync(this.#notes);
  }

  async begin(): Promise<void> {
    for (let at = 0; at < programs; at++) await this.#add();
    await this.#settle([]);
  }

  async round(round: number, plan: Plan): Promise<void> {
    this.where = `round ${round}`;
    const before = Array.from(this.residents);
    const logs = before.flatMap((one) => one.logs.map((log) => ({ one, log, syncs: log.fold.syncs })));
    const registrarKills = plan.kills.filter(({ of }) => of === "registrar").length;
    this.#isTakeover = plan.kills.length > 0;
    const work = before.flatMap((one, at) => [
      this.#act(one, plan.steps[at] ?? []),
      ...(at === plan.crashing ? [this.#crashService(one)] : []),
      ...(at === plan.rewatching && registrarKills < 2 ? [this.#rewatch(one, plan.rewatched)] : []),
    ]);
    const takeovers = await this.#kill(plan);
    if (!plan.bootsAtOnce) await Promise.all(work);
    const vacant = before.length - this.residents.length;
    const booted = Promise.all(Array.from({ length: plan.bootsAtOnce ? vacant : 0 }, () => this.#add()));
    await Promise.all([...work, booted]);
    await this.#settle(takeovers);
    for (const { one, log, syncs } of logs) {
      const more = log.fold.syncs - syncs;
      const isRight = more <= takeovers.length && more >= Math.min(1, takeovers.length);
      if (!one.isDead && one.logs.includes(log) && !isRight)
        this.#fault(`${log.who}: ${more} syncs for ${takeovers.length} takeovers`);
    }
    if (!plan.bootsAtOnce && vacant > 0) {
      await Promise.all(Array.from({ length: vacant }, () => this.#add()));
      await this.#settle([]);
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.residents.map((one) => one.call("end")));
  }

  /** Kills, and returns the eras that begin with that. */
  async #kill({ kills }: Plan): Promise<Era[]> {
    const eras: Era[] = [];
    for (const { of, which, afterMs } of kills) {
      await Bun.sleep(afterMs);
      const registrar = await this.#registrar();
      const victim =
        of === "registrar" ? registrar : this.residents[Math.floor(which * this.residents.length)]!;
      this.#count(victim === registrar ? "registrars killed" : "programs killed");
      if (victim === registrar) eras.push(new Era());
      this.residents = this.residents.filter((one) => one !== victim);
      victim.kill();
      this.#closed.push(...victim.logs);
    }
    return eras;
  }

  async #registrar(): Promise<Resident> {
    let found: Resident | undefined;
    await this.#until("there is a registrar", async () => {
      const all = Array.from(this.residents);
      const are = await Promise.all(all.map((one) => one.call("isRegistrar")));
      found = all.find((_one, at) => are[at]);
      return found !== undefined;
    });
    return found!;
  }

  async #add(): Promise<void> {
    const at = ++this.#serial;
    const one = new Resident(await this.#world.program(), `p${at}`);
    const { options } = this.#world;
    await one.call("begin", { name: one.name, ...options }, this.#notes);
    for (const pattern of patterns) await this.#watch(one, pattern);
    const uuid = await one.call("start", service, { v: this.#next() }, true);
    one.children.push({ name: service, uuid, isRestarted: true });
    await one.call("call", service, one.name);
    this.residents.push(one);
  }

  async #watch(one: Resident, pattern: string): Promise<void> {
    const log = new Log(join(this.#world.dir, `log-${this.#next()}`), one.name, pattern);
    await one.call("watch", log.file, pattern);
    one.logs.push(log);
  }

  /** Ends a watcher, and begins another one of its pattern, in the midst of all. */
  async #rewatch(one: Resident, which: number): Promise<void> {
    const at = Math.floor(which * one.logs.length);
    const [old] = one.logs.splice(at, 1);
    try {
      this.#closed.push(old!);
      await one.call("unwatch", old!.file);
      await this.#watch(one, old!.fold.pattern);
    } catch (error) {
      if (!one.isDead) throw error;
    }
  }

  async #crashService(one: Resident): Promise<void> {
    const child = one.children.find(({ name }) => name === service)!;
    await this.#attempt(one, "crash", async () => {
      child.uuid = (await one.call("crash", child.uuid, true))!;
      await this.#expectFound(one, child, 0.5, null);
    });
  }

  async #act(one: Resident, all: readonly Step[]): Promise<void> {
    for (const next of all) {
      if (one.isDead) return;
      const children = one.children.filter(({ name }) => name !== service);
      const child = children[Math.floor(next.which * children.length)];
      const act =
        child === undefined || (next.act === "start" && children.length < most) ? "start" : next.act;
      await this.#attempt(one, act, async () => {
        if (child === undefined || act === "start") await this.#start(one, next);
        else if (act === "change") await this.#change(one, child, next);
        else if (act === "crash") await this.#crash(one, child, next);
        else await this.#leave(one, child, act, next);
      });
    }
  }

  async #attempt(one: Resident, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#count(what);
    } catch (error) {
      if (one.isDead) return;
      const { name, message } = error as Error;
      this.#count(`${what} failed with ${name}`);
      this.#fault(`${one.name}: ${what}: ${name}: ${message}`);
    }
  }

  async #start(one: Resident, { name, isRestarted, asked }: Step): Promise<void> {
    const metadata = { v: this.#next() };
    const child = { name, uuid: await one.call("start", name, metadata, isRestarted), isRestarted };
    one.children.push(child);
    await this.#expectFound(one, child, asked, null);
  }

  async #change(one: Resident, child: Child, { asked }: Step): Promise<void> {
    const metadata = { v: this.#next() };
    await one.call("change", child.uuid, metadata);
    await this.#expectFound(one, child, asked, metadata);
  }

  async #crash(one: Resident, child: Child, { asked }: Step): Promise<void> {
    if (!child.isRestarted) one.children.splice(one.children.indexOf(child), 1);
    const next = await one.call("crash", child.uuid, child.isRestarted);
    if (next === null) return;
    child.uuid = next;
    await this.#expectFound(one, child, asked, null);
  }

  async #leave(one: Resident, child: Child, how: "drain" | "stop" | "start", { asked }: Step): Promise<void> {
    one.children.splice(one.children.indexOf(child), 1);
    const isAcknowledged = await one.call(how === "drain" ? "drain" : "stop", child.uuid);
    if (!isAcknowledged) throw new Error(`${child.name} ${child.uuid} didn't acknowledge it`);
    const found = await this.#ask(asked, (other) => other.call("find", child.name, null));
    if (found.includes(child.uuid)) this.#fault(`${child.name} ${child.uuid} is found after its ${how}`);
    const listed = await this.#ask(asked, (other) => other.call("list"));
    if (listed.includes(child.uuid)) this.#fault(`${child.name} ${child.uuid} is listed after its ${how}`);
  }

  async #expectFound(
    owner: Resident,
    { name, uuid }: Child,
    asked: number,
    metadata: { v: number } | null,
  ): Promise<void> {
    let found: string[] = [];
    await this.#until("it is found", async () => {
      found = await this.#ask(asked, (other) => other.call("find", name, metadata));
      if (owner.isDead || found.includes(uuid)) return true;
      // a new registrar answers a name with those that are back already; and a change that was under way when the
      // registrar died counts as done before the one who is asked has noticed that death
      if (!this.#isTakeover) return true;
      this.#count(metadata === null ? "answers in part" : "late answers to where");
      return false;
    });
    if (owner.isDead || found.includes(uuid)) return;
    const what = metadata === null ? "" : ` with ${JSON.stringify(metadata)}`;
    this.#fault(`${name} ${uuid} of ${owner.name}${what} isn't among those found: ${found.join(" ")}`);
  }

  /** Asks any program that lives; another one when it dies, and again when a registrar dies meanwhile. */
  async #ask<T>(asked: number, question: (other: Resident) => Promise<T>): Promise<T> {
    for (let turn = 0; ; turn++) {
      const other =
        this.residents[(Math.floor(asked * this.residents.length) + turn) % this.residents.length]!;
      try {
        return await question(other);
      } catch (error) {
        if (!other.isDead && (!this.#isTakeover || turn > 20)) throw error;
        this.#count(`questions repeated after ${(error as Error).name}`);
      }
    }
  }

  /** Waits until the registrar and all watchers know what there is, and compares all that they were told on the way. */
  async #settle(eras: readonly Era[]): Promise<void> {
    let view: View | undefined;
    let why = "";
    await this.#until("all watchers know what there is", async () => {
      view = await this.#view();
      why = view === undefined ? "the registrar doesn't have what there is" : this.#difference(view);
      return why === "";
    }).catch((error: unknown) => {
      this.#fault(`${String(error)}: ${why}`);
    });
    if (view !== undefined && why === "") this.#compare(view.revision, eras);
    await this.#checkCalls();
  }

  /** The registrar's view, once it has exactly what there is. */
  async #view(): Promise<View | undefined> {
    const views = await Promise.all(this.residents.map((one) => one.call("view")));
    const members = await Promise.all(this.residents.map((one) => one.call("members")));
    const registrars = views.filter((view) => view !== null);
    const [view] = registrars;
    if (view === undefined || registrars.length !== 1) return undefined;
    const living = members.flat().toSorted().join();
    const known = view.actors.map(({ uuid }) => uuid).toSorted();
    return known.join() === living ? view : undefined;
  }

  #difference({ revision, actors }: View): string {
    const logs = this.residents.flatMap((one) => one.logs);
    for (const log of logs) for (const fault of log.read()) this.#fault(fault);
    for (const { who, fold } of logs) {
      const expected = textOf(actors.filter(({ name }) => matches(fold.pattern, name)));
      const got = textOf(fold.state.values());
      if (got !== expected) return `${who} knows at ${fold.revision}\n${got}\nin place of\n${expected}`;
      if (fold.pattern === "*" && fold.revision !== revision) return `${who} is at ${fold.revision}`;
    }
    return "";
  }

  #compare(revision: number, eras: readonly Era[]): void {
    const all = [this.#era, ...eras];
    const segments: Segment[][] = all.map(() => []);
    const place = (era: number, segment: Segment): void => {
      const of = segments[era];
      if (of === undefined) this.#fault(`${segment.who}: has a sync too many`);
      else of.push(segment);
    };
    // those that live by their end, and others by their beginning
    for (const log of this.residents.flatMap((one) => one.logs)) {
      const parts = log.take(revision);
      parts.forEach((part, at) => place(all.length - parts.length + at, part));
    }
    for (const log of this.#closed.splice(0)) {
      for (const fault of log.read()) this.#fault(fault);
      log.take(undefined).forEach((part, at) => place(at, part));
    }
    all.forEach((era, at) => {
      this.#count(
        "events",
        segments[at]!.reduce((sum, { changes }) => sum + changes.length, 0),
      );
      for (const fault of era.add(segments[at]!)) this.#fault(fault);
    });
    this.#era = all.at(-1)!;
  }

  async #checkCalls(): Promise<void> {
    for (const one of this.residents) {
      const { answered, failures } = await one.call("takeTally");
      this.#count("calls", answered.length);
      for (const { id, isIdempotent, name, message } of failures) {
        this.#count("calls lost");
        if (isIdempotent || name !== "TransportClosedError" || !message.includes(" may have run on "))
          this.#fault(`call ${id}: ${name}: ${message}`);
      }
      for (const fault of await one.call("takeWatchFaults")) this.#fault(fault);
    }
  }

  async #until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + settledWithinMs;
    while (!(await condition())) {
      if (performance.now() > end) throw new Error(`not within ${settledWithinMs} ms: ${what}`);
      await Bun.sleep(5);
    }
  }

  #next(): number {
    return ++this.#serial;
  }

  #count(what: string, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }

  #fault(what: string): void {
    const fault = `${this.where}: ${what}`;
    console.log(`soak:   ${fault}`);
    this.faults.push(fault);
  }
}

describe("a registry in which actors, programs and registrars come and go at random", () => {
  test(
    "tells every watcher the same history without a gap, and forgets nothing that it has acknowledged",
    async () => {
      announce(`${rounds} rounds of a history`);
      const chance = new Chance(seed);
      await using world = new World();
      const population = new Population(world);
      await population.begin();
      for (let round = 0; round < rounds && population.faults.length === 0; round++) {
        await population.round(round, new Plan(chance, round));
        if (round % 10 === 9) console.log(`soak:   round ${round}: ${JSON.stringify(population.counts)}`);
      }
      if (population.faults.length === 0) await population.end();
      console.log(`soak:   ${JSON.stringify(population.counts)}`);
      expect(population.faults).toEqual([]);
    },
    inFull ? 3_600_000 : 240_000,
  );
});
