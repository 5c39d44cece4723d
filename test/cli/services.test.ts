/** `furrow registrar` and `furrow run`, as processes; where it is permitted, also as the first one of a pid namespace. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { findActor, openRootActor, queryActor, waitForActor } from "../../src/index.ts";
import { expectSchema } from "../support/cli-schema.ts";
import { Command } from "../support/command.ts";
import { linesOf } from "../support/command-line.ts";
import { Notifications } from "../support/notifications.ts";
import { hasProc, processesWith } from "../support/processes.ts";
import { until, World } from "../support/world.ts";

const fixtures = join(import.meta.dir, "../fixtures/services");
const app = join(fixtures, "app.ts");
const ticker = join(fixtures, "ticker.ts");

describe("furrow registrar", () => {
  test("serves, and ends in order on SIGTERM", async () => {
    await using world = new World();
    await using registrar = new Command(world, ["registrar"]);
    expect(await registrar.line()).toBe(
      `serving at ${world.unix}, ${world.tcp} (pid ${registrar.process.pid})`,
    );
    await using _ = await openRootActor(world.options);
    expect((await queryActor("registrar")).id?.pid).toBe(registrar.process.pid);
    expect(await registrar.ended("SIGTERM")).toBe(143);
    expect(await registrar.stderr).toBe("");
  });

  test("serves at the addresses that --addr gives", async () => {
    await using world = new World();
    await using registrar = new Command(world, ["registrar", "--addr", world.tcp]);
    expect(await registrar.line()).toBe(`serving at ${world.tcp} (pid ${registrar.process.pid})`);
  });

  test("stands by where there is a registrar, and takes over when that ends", async () => {
    await using world = new World();
    const program = await world.actor("program");
    await using registrar = new Command(world, ["registrar", "--json"]);
    const { pid } = registrar.process;
    const addrs = world.registryAddrs;
    const next = async (): Promise<unknown> => expectSchema("registrar-line", await registrar.line());
    expect(await next()).toEqual({ schema: 1, state: "standby", pid, addrs });
    await program.kill();
    expect(await next()).toEqual({ schema: 1, state: "serving", pid, addrs });
  });

  test.skipIf(!hasProc)("tells systemd that it serves, that it lives, and that it ends", async () => {
    await using world = new World();
    const path = join(world.dir, "notify");
    using notifications = new Notifications(path);
    const told: string[] = [];
    const next = async (): Promise<string> => {
      let text: string | undefined;
      await until(() => (text = notifications.take()) !== undefined);
      told.push(text!);
      return text!;
    };
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "20000" };
    await using registrar = new Command(world, ["registrar"], env);
    while (!(await next()).startsWith("READY=1\n"));
    expect(told.at(-1)).toBe(`READY=1\nSTATUS=serving at ${world.unix}, ${world.tcp}`);
    expect(await next()).toBe("WATCHDOG=1");
    registrar.process.kill("SIGTERM");
    while ((await next()) !== "STOPPING=1");
    expect(await registrar.ended()).toBe(143);
  });
});

describe("furrow run", () => {
  test("restarts a program that fails, with its arguments, until it has failed too often", async () => {
    await using world = new World();
    await using command = new Command(world, [
      "run",
      app,
      "--max-restarts",
      "2",
      "--",
      "fails",
      "--with",
      "this",
    ]);
    for (let runs = 0; runs < 3; runs++) expect(await command.line()).toBe("fails --with this");
    expect(await command.ended()).toBe(1);
    const lines = (await command.stderr).replaceAll(/\(pid \d+\)/g, "(pid)").split("\n");
    expect(lines).toEqual([
      `furrow: ${app} (pid) ended with code 4: restarting it in 50 ms`,
      `furrow: ${app} (pid) ended with code 4: restarting it in 100 ms`,
      `furrow: ${app} (pid) ended with code 4: not restarting it, 2 restarts within 60000 ms are used up`,
      "",
    ]);
  });

  test("ends with 0 when the program is done", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app, "--", "ends"]);
    expect(await command.line()).toMatch(/^up \d+ -$/);
    expect(await command.ended()).toBe(0);
  });

  test("keeps the registry when the program is killed, and starts it again", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app]);
    const [, pid] = (await command.line()).split(" ");
    await using root = await openRootActor(world.options);
    expect(root.isRegistrar).toBe(false);
    const { uuid } = (await queryActor("run-app")).id!;
    process.kill(Number(pid), "SIGKILL");
    expect(await command.line()).not.toBe(`up ${pid} -`);
    expect((await queryActor("run-app")).id?.uuid).toBe(uuid);
  });

  test("passes SIGTERM on, and ends as the program does", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app]);
    const [, pid] = (await command.line()).split(" ");
    expect(await command.ended("SIGTERM")).toBe(143);
    expect(await command.stderr).toBe(`furrow: SIGTERM: cancelling actor "app" (pid ${pid})\n`);
  });

  test("keeps the registry until the program has ended", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app, "--", "asks"]);
    expect(await command.line()).toStartWith("up ");
    command.process.kill("SIGTERM");
    expect(await command.line()).toBe("run-app is there");
    expect(await command.ended()).toBe(143);
  });

  test("kills a program that doesn't end in time", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app, "--stop-timeout", "100ms", "--", "ignores"]);
    const [, pid] = (await command.line()).split(" ");
    expect(await command.ended("SIGTERM")).toBe(143);
    expect(await command.stderr).toBe(`furrow: ${app} (pid ${pid}) did not end within 100 ms: killing it\n`);
  });

  test.skipIf(!hasProc)("takes the program with it when it is killed", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app]);
    await command.line();
    expect(processesWith(world.dir).length).toBe(2);
    await command.ended("SIGKILL");
    await until(() => processesWith(world.dir).length === 0);
  });

  test("restarts an actor, and ends it on Ctrl-C", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", ticker, "--actor", "ticker"]);
    await using _ = await openRootActor(world.options);
    type Ticker = typeof import("../fixtures/services/ticker.ts");
    await using first = await waitForActor<Ticker>("ticker");
    const pid = await first.run.pid();
    await first.run.crash();
    await first.closed;
    await using second = await waitForActor<Ticker>("ticker");
    expect(await second.run.pid()).not.toBe(pid);
    expect(await command.ended("SIGINT")).toBe(130);
    expect(await findActor("ticker")).toBeNull();
  });

  test.skipIf(!hasProc)("is ready when the actor is registered that --ready names", async () => {
    await using world = new World();
    const path = join(world.dir, "notify");
    using notifications = new Notifications(path);
    await using command = new Command(world, ["run", app, "--ready", "app"], { NOTIFY_SOCKET: path });
    let told: string | undefined;
    await until(() => (told = notifications.take()) !== undefined);
    expect(told).toBe(`READY=1\nMAINPID=${command.process.pid}`);
    // the program isn't to speak for the service
    expect(await command.line()).toMatch(/^up \d+ -$/);
    await using _ = await openRootActor(world.options);
    expect((await queryActor("app")).id?.name).toBe("app");
  });

  test("refuses a file that isn't there, and arguments for an actor", async () => {
    await using world = new World();
    await using none = new Command(world, ["run", "none.ts"]);
    expect([await none.ended(), await none.stderr]).toEqual([2, "furrow: none.ts does not exist\n"]);
    await using args = new Command(world, ["run", ticker, "--actor", "ticker", "--", "x"]);
    expect([await args.ended(), await args.stderr]).toEqual([2, "furrow: an actor takes no arguments\n"]);
  });
});

const unshare = ["unshare", "-Urpf", "--mount-proc", "--kill-child"];
const canUnshare =
  process.platform === "linux" && Bun.spawnSync([...unshare, "true"], { stderr: "ignore" }).exitCode === 0;
if (!canUnshare) console.warn("services.test.ts: tests as PID 1 are skipped, unshare is not permitted here");

/** The processes of a namespace of `command`, as this one sees them, with what they run. */
function inside(command: Command): number[] {
  const children = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  const below = (pid: number): number[] => children(pid).flatMap((child) => [child, ...below(child)]);
  return below(command.process.pid);
}

function isZombie(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")")).startsWith(") Z");
}

describe.skipIf(!canUnshare)("as the first process of a container", () => {
  test("a program ends in order on SIGTERM", async () => {
    await using world = new World();
    const child = Bun.spawn([...unshare, process.execPath, app], {
      env: { ...process.env, ...world.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const lines = linesOf(child.stdout);
    expect((await lines.next()).value as string).toBe("up 1 -");
    const [first = 0] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").split(" ");
    process.kill(Number(first), "SIGTERM");
    expect(await child.exited).toBe(143);
    expect(await child.stderr.text()).toBe('furrow: SIGTERM: cancelling actor "app" (pid 1)\n');
    expect(readdirSync(world.dir)).toEqual([]);
  });

  test("furrow run passes SIGTERM on, and reaps orphans", async () => {
    await using world = new World();
    await using command = new Command(world, ["run", app, "--", "orphans"], {}, unshare);
    expect(await command.line()).toStartWith("up ");
    const [first = 0] = inside(command);
    // the orphan ends, and is gone a moment later
    await until(() => inside(command).length === 2 && !inside(command).some(isZombie));
    process.kill(first, "SIGTERM");
    expect(await command.ended()).toBe(143);
  });
});
