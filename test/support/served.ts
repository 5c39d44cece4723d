/** Instances of a service, started and counted by a test. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import {
  type Nursery,
  openNursery,
  type Portal,
  type RootOptions,
  type StartOptions,
} from "../../src/index.ts";
import { notesVariable } from "../fixtures/served.ts";
import { World } from "./world.ts";

export type Served = typeof import("../fixtures/served.ts");

const module = new URL("../fixtures/served.ts", import.meta.url);

/** A tree whose actors are instances of services, and note what they run. */
export class Stage implements AsyncDisposable {
  readonly world: World;
  readonly nursery: Nursery;
  /** The folder of the notes. */
  readonly notes: string;

  private constructor(world: World, nursery: Nursery) {
    this.world = world;
    this.nursery = nursery;
    this.notes = join(world.dir, "notes");
    mkdirSync(this.notes);
  }

  static async open(options: RootOptions = {}): Promise<Stage> {
    const world = new World();
    return new Stage(world, await openNursery({ ...world.options, ...options }));
  }

  async start(name: string, options: Partial<StartOptions> = {}): Promise<Portal<Served>> {
    const env = { [notesVariable]: this.notes };
    return await this.nursery.startActor<Served>(name, { module, env, timeout: 60_000, ...options });
  }

  /** Starts so many of a name; returns their uuids in the order of registration. */
  async startMany(name: string, count: number, options: Partial<StartOptions> = {}): Promise<string[]> {
    const uuids: string[] = [];
    for (let at = 0; at < count; at++) uuids.push((await this.start(name, options)).id.uuid);
    return uuids;
  }

  /** The ids that were run, by the instance that ran them. */
  runs(): Map<string, string[]> {
    const runs = new Map<string, string[]>();
    for (const uuid of readdirSync(this.notes))
      runs.set(uuid, readFileSync(join(this.notes, uuid), "utf8").trimEnd().split("\n"));
    return runs;
  }

  /** How often each id was run, by any instance. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const ids of this.runs().values()) for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using _ = this.world;
    await this.nursery[Symbol.asyncDispose]();
  }
}
