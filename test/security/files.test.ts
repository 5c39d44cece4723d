/** What lies where a registry's files belong: put there by another user, or by accident. */
import { describe, expect, test } from "bun:test";
import { chmodSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { membersFile } from "../../src/discovery/places.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

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
  expect(Bun.spawnSync(["mkfifo", ...fifos, membersFile(world.unix)]).exitCode).toBe(0);
  expect(await boot(world, join(world.dir, "registry@1.sock"))).toBeTrue();
});
