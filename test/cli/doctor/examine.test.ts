/** What the doctor says about actors and limits, and all of it together. */
import { describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";

import { findDescriptors } from "../../../src/cli/doctor/descriptors.ts";
import { examine, type Examination } from "../../../src/cli/doctor/examine.ts";
import type { Finding } from "../../../src/cli/doctor/finding.ts";
import { findSharedMemory } from "../../../src/cli/doctor/shared-memory.ts";
import { type Address, openClient, RuntimeExistsError } from "../../../src/index.ts";
import { failure } from "../../support/outcome.ts";
import { Program, World } from "../../support/world.ts";

function examined(registryAddrs: readonly Address[]): Promise<Examination> {
  return examine({ registryAddrs, limits: { probeTimeoutMs: 300 } });
}

function codes({ findings }: { readonly findings: readonly Finding[] }): string[] {
  return findings.map(({ code }) => code);
}

/** A program that may have so many files open. */
async function programWith(descriptors: number, world: World): Promise<Program> {
  const limited = new Program(world.env, ["sh", "-c", `ulimit -n ${descriptors}; exec "$@"`, "sh"]);
  await limited.up;
  return limited;
}

describe("examine", () => {
  test("finds nothing wrong where all is well, and lists addresses and actors", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("worker", { version: "1.0.0" });
    const { addresses, actors, findings } = await examined(world.registryAddrs);
    expect(findings).toEqual([]);
    expect(addresses.map(({ addr, state }) => [addr, state])).toEqual(
      world.registryAddrs.map((addr) => [addr, "registrar"]),
    );
    expect(actors.map(({ id, version }) => [id.name, version])).toEqual([
      ["hub", null],
      ["worker", "1.0.0"],
    ]);
    // it leaves no client behind
    await (await openClient(world)).close();
  });

  test("finds actors of one name with different versions, with their pids", async () => {
    await using world = new World();
    await world.actor("hub");
    const older = await world.actor("worker", { version: "1.0.0" });
    const newer = await world.actor("worker", { version: "1.1.0" });
    const none = await world.actor("worker");
    await world.actor("other", { version: "3.0.0" });
    expect((await examined(world.registryAddrs)).findings).toEqual([
      {
        code: "versions-differ",
        level: "warning",
        what: "actors of this name run 3 versions",
        which: `worker: 1.0.0 (pid ${older.pid}); 1.1.0 (pid ${newer.pid}); none (pid ${none.pid})`,
        whatToDo: "finish the roll-out, or end those of the version that shouldn't run any more",
      },
    ]);
  });

  test("finds a registered actor that is stopped", async () => {
    await using world = new World();
    await world.actor("hub");
    const worker = await world.actor("worker");
    await worker.freeze();
    expect((await examined(world.registryAddrs)).findings).toEqual([
      {
        code: "actor-frozen",
        level: "error",
        what: "the actor is stopped (state T)",
        which: `worker, pid ${worker.pid}`,
        whatToDo: `kill -CONT ${worker.pid} lets it go on; kill -KILL ${worker.pid} ends it`,
      },
    ]);
  });

  test("finds several faults at once, the errors first, and says what else it saw", async () => {
    await using world = new World();
    const hub = await world.actor("hub", { registryAddrs: [world.unix] });
    const gone = await world.actor("gone", { registryAddrs: [world.unix] });
    await hub.freeze();
    await gone.kill();
    chmodSync(world.dir, 0o770);
    const examination = await examined([world.unix, world.tcp]);
    expect(codes(examination)).toEqual(["registry-frozen", "no-registrar", "runtime-dir", "stale-sockets"]);
    expect(examination.addresses.map(({ state }) => state)).toEqual(["busy", "absent"]);
    expect(examination.actors).toEqual([]);
  });

  test("looks no further where the runtime directory can't be used", async () => {
    await using world = new World();
    const program = await world.program({ FURROW_REGISTRY_ADDRS: "", FURROW_SECRET: "" });
    await Bun.write(join(world.dir, "file"), "");
    const found = await program.run(
      async ({ args }) => {
        const [file, runtimeDir] = args as [string, string];
        process.env["FURROW_RUNTIME_DIR"] = runtimeDir;
        const doctor = (await import(file)) as { examine(): Promise<Examination> };
        return await doctor.examine();
      },
      join(import.meta.dir, "../../../src/cli/doctor/examine.ts"),
      join(world.dir, "file"),
    );
    expect(found.addresses).toEqual([]);
    expect(found.findings).toMatchObject([
      { code: "runtime-dir", what: "the runtime directory isn't a directory" },
    ]);
  });

  test("refuses to run beside a client", async () => {
    await using world = new World();
    await world.actor("hub");
    await using _ = await openClient(world);
    expect(await failure(examined(world.registryAddrs))).toBeInstanceOf(RuntimeExistsError);
  });
});

describe("findDescriptors", () => {
  test("finds a process that has room for few connections", async () => {
    await using world = new World();
    const program = await programWith(256, world);
    expect(findDescriptors([{ name: "worker", pid: program.pid }])).toEqual([
      {
        code: "few-descriptors",
        level: "warning",
        what: "with 256 descriptors it can have 168 connections",
        which: `worker (pid ${program.pid})`,
        whatToDo: "raise the limit and restart it: ulimit -n, or LimitNOFILE= of its systemd unit",
      },
    ]);
    await program.kill();
  });

  test("finds a process that has used most of them up", async () => {
    await using world = new World();
    const program = await programWith(256, world);
    await program.run(async () => {
      const { openSync } = await import("node:fs");
      for (let at = 0; at < 220; at++) openSync("/dev/null", "r");
    });
    const [finding] = findDescriptors([{ name: "worker", pid: program.pid }]);
    expect(finding).toMatchObject({
      code: "descriptors-used-up",
      level: "error",
      which: `worker (pid ${program.pid})`,
    });
    expect(finding!.what).toMatch(/^2[2-5]\d of its 256 descriptors are in use$/);
    await program.kill();
  });

  test("leaves out processes that are gone", () => {
    expect(findDescriptors([{ name: "gone", pid: 0x3fff_ffff }])).toEqual([]);
  });
});

describe("findSharedMemory", () => {
  const file = join(import.meta.dir, "../../../src/cli/doctor/shared-memory.ts");
  const script = `console.log(JSON.stringify((await import(${JSON.stringify(file)})).findSharedMemory()))`;
  /** Runs it where these commands have changed what is mounted, for it alone. */
  function foundAfter(commands: string): Finding[] | undefined {
    const run = Bun.spawnSync([
      "unshare",
      "--mount",
      "sh",
      "-c",
      `${commands} && exec "$0" -e "$1"`,
      process.execPath,
      script,
    ]);
    return run.success ? (JSON.parse(run.stdout.toString()) as Finding[]) : undefined;
  }
  const canMount =
    process.getuid?.() === 0 && Bun.which("unshare") !== null && foundAfter("true") !== undefined;

  test("finds nothing where there is shared memory", () => {
    expect(findSharedMemory()).toEqual([]);
  });

  test.skipIf(!canMount)("finds that there is none, or that it can't be written", () => {
    const none =
      "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9";
    expect(foundAfter(none)).toMatchObject([
      { code: "shared-memory", level: "warning", what: "there is no shared memory", which: "/dev/shm" },
    ]);
    expect(foundAfter("mount -t tmpfs -o ro none /dev/shm")).toMatchObject([
      { code: "shared-memory", what: "shared memory can't be written (EROFS)" },
    ]);
  });
});

describe("docs/doctor.md", () => {
  test("lists every code with its levels, and no others", async () => {
    const listed = (await Bun.file(join(import.meta.dir, "../../../docs/doctor.md")).text()).matchAll(
      /^\| `([a-z-]+)` \| (error|warning|error, or warning) \|/gm,
    );
    const source = await Bun.file(join(import.meta.dir, "../../../src/cli/doctor/finding.ts")).text();
    const codes = Array.from(source.matchAll(/^ {2}\| "([a-z-]+)"/gm), ([, code]) => code);
    expect(codes).not.toEqual([]);
    expect(new Set(Array.from(listed, ([, code]) => code))).toEqual(new Set(codes));
  });
});
