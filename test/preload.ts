/**
 * Gives every test file a runtime folder and a time limit, and fails it if it leaves anything behind. Bun
 * calls a preload's own `afterAll` once per run, not per file: hence the loader plugin at the end.
 */
import { afterAll, afterEach, beforeEach, setDefaultTimeout } from "bun:test";
import { heapStats } from "bun:jsc";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

import { currentRuntime, hasRuntime, isBooting, setRuntime } from "../src/actor/current.ts";
import type { Runtime } from "../src/actor/runtime.ts";

const testTimeoutMs = 15_000;
/** How long resources may take to disappear after a file's last hook: a killed process ends a little later. */
const graceMs = 2_000;
/** Objects that Bun keeps alive ("protected") exactly while they are armed, open or running. */
const handleKinds = ["Timeout", "Subprocess", "Listener", "TCPSocket", "TLSSocket", "UDPSocket", "Worker"];
/** Event loops that Bun's own threads open on first use and keep. */
const ownDescriptor = /^anon_inode:\[(eventpoll|eventfd|timerfd)\]$/;
const runtimeDir = join(tmpdir(), `furrow-test-${process.pid}`);
const hasProc = existsSync("/proc/self/stat");

process.env["FURROW_RUNTIME_DIR"] = runtimeDir;
// a test's programs have their own folders but share one secret
process.env["FURROW_SECRET"] = "the secret that all programs of a test share";
// Bun opens a descriptor for each on first use and keeps it.
for (const stream of [process.stdout, process.stderr]) stream.write("");
if (!hasProc) console.warn("leak check: no /proc here, processes and descriptors are not looked at");

/** The text, or "" if it disappeared after it was listed. */
function attempt(read: (path: string, encoding: "utf8") => string, path: string): string {
  try {
    return read(path, "utf8");
  } catch {
    return "";
  }
}

function everything(): string[] {
  Bun.gc(true);
  const found = existsSync(runtimeDir) ? readdirSync(runtimeDir, { recursive: true }) : [];
  const items = found.map((name) => `entry ${String(name)} in the runtime folder`);
  const counts = heapStats().protectedObjectTypeCounts;
  for (const kind of handleKinds) for (let i = 1; i <= (counts[kind] ?? 0); i++) items.push(`${kind} ${i}`);
  if (!hasProc) return items;
  for (const fd of readdirSync("/proc/self/fd")) {
    const target = attempt(readlinkSync, `/proc/self/fd/${fd}`);
    if (target && !ownDescriptor.test(target)) items.push(`descriptor ${fd} (${target})`);
  }
  for (const pid of readdirSync("/proc").filter((name) => Number(name) > 0 && Number(name) !== process.pid)) {
    const stat = attempt(readFileSync, `/proc/${pid}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2]);
    // A grandchild whose parent has died is no longer our child, but still has our environment.
    const mine =
      parent === process.pid || attempt(readFileSync, `/proc/${pid}/environ`).includes(`${runtimeDir}\0`);
    const command = mine ? attempt(readFileSync, `/proc/${pid}/cmdline`).replaceAll("\0", " ").trim() : "";
    if (mine) items.push(`process ${pid} (${command})`);
  }
  return items;
}

function begin(path: string): () => void {
  setDefaultTimeout(testTimeoutMs);
  mkdirSync(runtimeDir, { recursive: true, mode: 0o700 });
  const before = new Set(everything());
  const left = (): string[] => everything().filter((item) => !before.has(item));
  return () =>
    afterAll(async () => {
      const deadline = performance.now() + graceMs;
      while (left().length > 0 && performance.now() < deadline) await Bun.sleep(20);
      const leaks = left().map((item) => `\n  ${item}`);
      rmSync(runtimeDir, { recursive: true, force: true });
      if (leaks.length > 0) throw new Error(`${relative(process.cwd(), path)} left behind:${leaks.join("")}`);
    });
}

/** The actor of this process, if any; waits for one that is booting. */
async function runningActor(): Promise<Runtime | undefined> {
  for (const end = performance.now() + graceMs; isBooting() && performance.now() < end;) await Bun.sleep(20);
  return hasRuntime() && !isBooting() ? currentRuntime() : undefined;
}

/**
 * A process has one actor, so one left open, say by a test that timed out, would fail every later test. It is ended
 * here, and the test that left it open fails.
 */
let actorBefore: Runtime | undefined;
beforeEach(async () => {
  actorBefore = await runningActor();
});
afterEach(async () => {
  const left = await runningActor();
  if (left === undefined ? !isBooting() : left === actorBefore) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, testTimeoutMs / 2);
  await Promise.race([left?.cancel(), promise]);
  clearTimeout(timer);
  setRuntime(undefined);
  throw new Error(
    `the test left ${left === undefined ? "an actor booting" : `actor "${left.name}" running`}`,
  );
});

Object.assign(globalThis, { beginTestFile: begin });
Bun.plugin({
  name: "leak check",
  setup(build) {
    build.onLoad({ filter: /\.test\.ts$/ }, ({ path }) => {
      const start = `const endTestFile = beginTestFile(${JSON.stringify(path)});`;
      return { contents: `${start}${readFileSync(path, "utf8")}\nendTestFile();`, loader: "ts" };
    });
  },
});
