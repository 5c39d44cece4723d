/** Programs that share a registry, each a root actor with children, and what they find after their registrar is killed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Found } from "../fixtures/takeover.ts";
import { processesOf } from "./processes.ts";

/** How long the programs that survive a kill may take. */
const patienceMs = 60_000;
/** Between two kills: the programs settle, and tell who is the registrar. */
const pauseMs = 700;

export interface TakeoverPlan {
  readonly programs: number;
  /** Of each program. */
  readonly children: number;
  /** "unix", "tcp" or both. */
  readonly transports: readonly string[];
  /** The runtime directory. */
  readonly folder: string;
}

/** What one kill cost. */
export interface Kill {
  /** Until the slowest program had found every remaining actor. */
  readonly ms: number;
  /** Lookups that reported a live actor as absent. */
  readonly nulls: number;
  readonly errors: number;
  /** Processor time of all that survived. */
  readonly seconds: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

class Program {
  readonly name: string;
  readonly process: Bun.Subprocess;
  readonly up = Promise.withResolvers<void>();
  armed = Promise.withResolvers<void>();
  found = Promise.withResolvers<Found>();
  isRegistrar = false;
  readonly #children: number;

  constructor(name: string, children: number, env: Environment) {
    this.name = name;
    this.#children = children;
    const program = join(import.meta.dir, "../fixtures/takeover.ts");
    this.process = Bun.spawn([process.execPath, program, name, String(children)], {
      env,
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "json",
      ipc: (message) => this.#on(message),
    });
  }

  get names(): string[] {
    return [this.name, ...Array.from({ length: this.#children }, (_, n) => `${this.name}-${n}`)];
  }

  #on(message: Record<string, unknown>): void {
    if ("up" in message) this.up.resolve();
    if ("armed" in message) this.armed.resolve();
    if ("found" in message) this.found.resolve(message["found"] as Found);
    if ("isRegistrar" in message) this.isRegistrar = message["isRegistrar"] as boolean;
  }
}

/** The programs; they end with its scope. */
export class Takeover implements AsyncDisposable {
  readonly #plan: TakeoverPlan;
  readonly #env: Environment;
  readonly #alive: Program[] = [];
  #started = 0;

  private constructor(plan: TakeoverPlan) {
    const { folder, transports } = plan;
    const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const addrs = { unix: `unix://${folder}/registry@1616.sock`, tcp: `tcp://127.0.0.1:${probe.port}` };
    probe.stop();
    this.#plan = plan;
    this.#env = {
      ...process.env,
      // they end with this process, even if it is killed
      BUN_FEATURE_FLAG_NO_ORPHANS: "1",
      FURROW_RUNTIME_DIR: folder,
      FURROW_REGISTRY_ADDRS: transports.map((one) => addrs[one as "unix" | "tcp"]).join(","),
      TRANSPORTS: JSON.stringify(transports),
    };
  }

  /** Starts the programs, one after the other. */
  static async open(plan: TakeoverPlan): Promise<Takeover> {
    const takeover = new Takeover(plan);
    try {
      for (let program = 0; program < plan.programs; program++) await takeover.#start();
      return takeover;
    } catch (error) {
      await takeover[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Kills the registrar's program; a new program then replaces it. */
  async kill(): Promise<Kill> {
    await Bun.sleep(pauseMs);
    const registrar = this.#alive.find(({ isRegistrar }) => isRegistrar);
    if (registrar === undefined) throw new Error("none of the programs is the registrar");
    const left = this.#alive.filter((program) => program !== registrar);
    const names = left.flatMap((program) => program.names);
    for (const program of left) {
      program.armed = Promise.withResolvers();
      program.found = Promise.withResolvers();
      program.process.send(names);
    }
    await Promise.all(left.map((program) => program.armed.promise));
    const before = this.#ticks();
    const at = performance.timeOrigin + performance.now();
    registrar.process.kill("SIGKILL");
    const patience = Promise.withResolvers<undefined>();
    const timer = setTimeout(patience.resolve, patienceMs);
    const finds = left.map((program) => Promise.race([program.found.promise, patience.promise]));
    const found = await Promise.all(finds);
    clearTimeout(timer);
    const ms = Math.max(...found.map((one) => (one?.at ?? Number.POSITIVE_INFINITY) - at));
    const sum = (of: "nulls" | "errors"): number => found.reduce((all, one) => all + (one?.[of] ?? 0), 0);
    const kill = { ms, nulls: sum("nulls"), errors: sum("errors"), seconds: this.#secondsSince(before) };
    this.#alive.splice(this.#alive.indexOf(registrar), 1);
    await registrar.process.exited;
    await this.#start();
    return kill;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process: one } of this.#alive) one.kill("SIGKILL");
    await Promise.all(this.#alive.map(({ process: one }) => one.exited));
    // the children end with their programs, a moment later
    await Bun.sleep(200);
  }

  async #start(): Promise<void> {
    const program = new Program(`p${++this.#started}`, this.#plan.children, this.#env);
    this.#alive.push(program);
    const ended = program.process.exited.then(() => {
      throw new Error(`the program ${program.name} ended before it was up`);
    });
    ended.catch(() => {});
    await Promise.race([program.up.promise, ended]);
  }

  /** Returns the processor time of each process of this run so far, by pid, in ticks of 10 ms. */
  #ticks(): Map<number, number> {
    const found = new Map<number, number>();
    for (const pid of processesOf(this.#plan.folder)) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        found.set(pid, Number(fields[11]) + Number(fields[12]));
      } catch {
        // it has ended
      }
    }
    return found;
  }

  /** Returns the processor time that the remaining processes have used since `before`. */
  #secondsSince(before: ReadonlyMap<number, number>): number {
    let sum = 0;
    for (const [pid, now] of this.#ticks()) sum += now - (before.get(pid) ?? now);
    return sum / 100;
  }
}
