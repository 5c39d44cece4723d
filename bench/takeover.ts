/**
 * What the death of the registrar costs: `bun run bench:takeover [programs] [children] [kills] [transports]`.
 *
 * Several programs, each with a root actor and children, share a registry. The registrar's program is killed. Every other
 * program looks up every remaining actor, from the moment it loses its registrar until it has found them all. Then a new
 * program replaces the killed one. Prints a line for each kill, a summary, and a histogram.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Found } from "./fixtures/takeover.ts";

const [programs = 10, children = 9, kills = 20] = process.argv.slice(2, 5).map(Number);
const transports = (process.argv[5] ?? "unix").split("+");
const folder = mkdtempSync(join(tmpdir(), "furrow-takeover-"));
const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
const addrs = { unix: `unix://${folder}/registry@1616.sock`, tcp: `tcp://127.0.0.1:${probe.port}` };
probe.stop();
const env = {
  ...process.env,
  FURROW_RUNTIME_DIR: folder,
  FURROW_REGISTRY_ADDRS: transports.map((one) => addrs[one as "unix" | "tcp"]).join(","),
  TRANSPORTS: JSON.stringify(transports),
};
/** How long the programs that survive a kill may take. */
const patienceMs = 60_000;

class Program {
  readonly name: string;
  readonly process: Bun.Subprocess;
  readonly up = Promise.withResolvers<void>();
  armed = Promise.withResolvers<void>();
  found = Promise.withResolvers<Found>();
  isRegistrar = false;

  constructor(name: string) {
    this.name = name;
    this.process = Bun.spawn(
      [process.execPath, join(import.meta.dir, "fixtures/takeover.ts"), name, String(children)],
      {
        env,
        stdio: ["ignore", "inherit", "inherit"],
        serialization: "json",
        ipc: (message) => this.#on(message),
      },
    );
  }

  get names(): string[] {
    return [this.name, ...Array.from({ length: children }, (_, n) => `${this.name}-${n}`)];
  }

  #on(message: Record<string, unknown>): void {
    if ("up" in message) this.up.resolve();
    if ("armed" in message) this.armed.resolve();
    if ("found" in message) this.found.resolve(message["found"] as Found);
    if ("isRegistrar" in message) this.isRegistrar = message["isRegistrar"] as boolean;
  }
}

/** Returns the processor time of each process of this run so far, by pid, in ticks of 10 ms. */
function ticks(): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of readdirSync("/proc")) {
    if (!(Number(pid) > 0)) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(folder)) continue;
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
function secondsSince(before: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const [pid, now] of ticks()) sum += now - (before.get(pid) ?? now);
  return sum / 100;
}

/** Formats a histogram: a line for each 50 ms, with a block for each kill that took that long. */
function histogram(times: readonly number[]): string {
  const step = 50;
  const slots = times.map((ms) => Math.floor(ms / step));
  const [first, last] = [Math.min(...slots), Math.max(...slots)];
  return Array.from({ length: last - first + 1 }, (_, at) => {
    const slot = first + at;
    const count = slots.filter((one) => one === slot).length;
    return `${String(slot * step).padStart(6)} ms ${"█".repeat(count)}${count > 0 ? ` ${count}` : ""}`;
  }).join("\n");
}

let started = 0;
async function start(): Promise<Program> {
  const program = new Program(`p${++started}`);
  await program.up.promise;
  return program;
}

const alive: Program[] = [];
const times: number[] = [];
let [nulls, errors, killsWithNulls] = [0, 0, 0];
try {
  while (alive.length < programs) alive.push(await start());
  for (let kill = 1; kill <= kills; kill++) {
    await Bun.sleep(700);
    const registrar = alive.find(({ isRegistrar }) => isRegistrar);
    if (registrar === undefined) throw new Error("none of the programs is the registrar");
    const left = alive.filter((program) => program !== registrar);
    const names = left.flatMap((program) => program.names);
    for (const program of left) {
      program.armed = Promise.withResolvers();
      program.found = Promise.withResolvers();
      program.process.send(names);
    }
    await Promise.all(left.map((program) => program.armed.promise));
    const before = ticks();
    const at = performance.timeOrigin + performance.now();
    registrar.process.kill("SIGKILL");
    const patience = Bun.sleep(patienceMs).then(() => undefined);
    const found = await Promise.all(left.map((program) => Promise.race([program.found.promise, patience])));
    const ms = Math.max(...found.map((one) => (one?.at ?? Number.POSITIVE_INFINITY) - at));
    const sum = (of: "nulls" | "errors"): number => found.reduce((all, one) => all + (one?.[of] ?? 0), 0);
    times.push(ms);
    nulls += sum("nulls");
    errors += sum("errors");
    if (sum("nulls") > 0) killsWithNulls++;
    const seconds = secondsSince(before).toFixed(1);
    console.log(
      `kill ${kill}: ${Math.round(ms)} ms, ${sum("nulls")} false nulls, ${sum("errors")} errors, ${seconds} s of processor time`,
    );
    alive.splice(alive.indexOf(registrar), 1);
    await registrar.process.exited;
    alive.push(await start());
  }
  const sorted = times.toSorted((a, b) => a - b);
  console.log(
    `| ${programs * (children + 1)} actors in ${programs} programs, ${transports.join("+")} | ${kills} kills | ` +
      `median ${Math.round(sorted[sorted.length >> 1] ?? 0)} ms | worst ${Math.round(sorted.at(-1) ?? 0)} ms | ` +
      `${nulls} false nulls in ${killsWithNulls} kills | ${errors} errors |`,
  );
  console.log(histogram(times));
} finally {
  for (const { process: one } of alive) one.kill("SIGKILL");
  await Promise.all(alive.map(({ process: one }) => one.exited));
  await Bun.sleep(200);
  rmSync(folder, { recursive: true, force: true });
}
