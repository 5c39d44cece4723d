/** What lies where a registry's files belong: put there by another user, or by accident. */
import { describe, expect, test } from "bun:test";
import { chmodSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { rosterFile } from "../../src/discovery/registry-files.ts";
import { failure } from "../support/outcome.ts";
import { Program, World } from "../support/world.ts";

const canBeOthers = process.platform === "linux" && process.getuid?.() === 0;
const other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** A registry socket in a directory where every user may make files. */
function openPlace(world: World): string {
  for (const door of [process.env["FURROW_RUNTIME_DIR"]!, world.dir]) chmodSync(door, 0o711);
  const dir = join(world.dir, "open");
  mkdirSync(dir);
  chmodSync(dir, 0o1777);
  return join(dir, "r.sock");
}

async function boot(world: World, path: string): Promise<unknown> {
  const program = await world.program({ FURROW_REGISTRY_ADDRS: `unix://${path}` });
  return await program.run(async ({ furrow }) => {
    await using actor = await furrow.openRootActor({ name: "hub", enableTransports: ["unix"] });
    return actor.isRegistrar;
  });
}

describe("a lock file", () => {
  test.skipIf(!canBeOthers)(
    "that another user has made a fifo fails the boot, and doesn't hang it",
    async () => {
      await using world = new World();
      const path = openPlace(world);
      expect(Bun.spawnSync([...other, "mkfifo", `${path}.lock`]).exitCode).toBe(0);
      const error = await failure(boot(world, path));
      expect(error).toMatchObject({ name: "AddressError" });
      expect(error.message).toContain("is not a regular file");
    },
  );

  test.skipIf(!canBeOthers)(
    "that another user made, and shares the lock of, fails the boot at once",
    async () => {
      await using world = new World();
      const path = openPlace(world);
      await using holder = Bun.spawn(
        [...other, "sh", "-c", `umask 0; exec 9>${path}.lock; flock -s 9; echo held; exec sleep 60`],
        { stdout: "pipe" },
      );
      await holder.stdout.getReader().read();
      const { message } = await failure(boot(world, path));
      expect(message).toContain("belongs to uid 65534, not to 0");
    },
  );

  test("that is a second name of another file fails the boot, and leaves that file as it is", async () => {
    await using world = new World();
    const precious = join(world.dir, "precious");
    writeFileSync(precious, "precious");
    linkSync(precious, join(world.dir, "registry@1.sock.lock"));
    const { message } = await failure(boot(world, join(world.dir, "registry@1.sock")));
    expect(message).toContain("is one of 2 links to a file");
    expect(readFileSync(precious, "utf8")).toBe("precious");
  });
});

test("a fifo in place of a registry's files keeps no program from booting or registering", async () => {
  await using world = new World();
  const fifos = [join(world.dir, "a@123.sock.lock"), join(world.dir, "registry-0123456789ab.members")];
  expect(Bun.spawnSync(["mkfifo", ...fifos, rosterFile(world.unix)]).exitCode).toBe(0);
  expect(await boot(world, join(world.dir, "registry@1.sock"))).toBeTrue();
});

/** Mounts a file system of 64 KiB that no other process sees, and goes on there. */
const mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k,mode=700 small "$0" && exec "$@"'];
const canMount =
  process.platform === "linux" &&
  Bun.spawnSync([...mount, "/mnt", "true"], { stderr: "ignore" }).exitCode === 0;

test.skipIf(!canMount)("a full disk keeps no program from booting, joining or taking over", async () => {
  await using world = new World();
  await using outer = Object.assign(
    new Program({ ...world.env, FURROW_REGISTRY_ADDRS: world.unix }, [...mount, world.dir]),
    { [Symbol.asyncDispose]: () => outer.kill() },
  );
  await outer.up;
  const seen = await outer.run(
    async ({ args }) => {
      const [dir, support] = args as [string, string];
      const { writeFileSync } = await import("node:fs");
      const { Program: Inner, until } = (await import(support)) as typeof import("../support/world.ts");
      const programs: Program[] = [];
      const start = async (name: string): Promise<Program> => {
        const program = new Inner({});
        programs.push(program);
        await program.up;
        await program.run(async ({ furrow, keep, args: [named] }) => {
          keep["actor"] = await furrow.openRootActor({ name: named as string, enableTransports: ["unix"] });
        }, name);
        return program;
      };
      try {
        const hub = await start("hub");
        try {
          writeFileSync(`${dir}/fill`, Buffer.alloc(200_000));
        } catch {}
        const joined = await start("joined");
        await hub.kill();
        await until(() => joined.run(({ furrow }) => furrow.currentActor().isRegistrar));
        const last = await start("last");
        return await last.run(async ({ furrow }) => (await furrow.queryActor("joined")).id?.name);
      } finally {
        for (const program of programs) await program.kill();
      }
    },
    world.dir,
    join(import.meta.dir, "../support/world.ts"),
  );
  expect(seen).toBe("joined");
});
