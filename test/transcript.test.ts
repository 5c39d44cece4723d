/** The reader of documents, when its own process is killed: what it has started must not outlive it. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { until, World } from "./support/world.ts";

const reader = join(import.meta.dir, "support/transcript.ts");

function isAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}

test("a command that a document leaves running ends with the reader, even if that is killed", async () => {
  await using world = new World();
  const pidFile = join(world.dir, "pid");
  const block = {
    language: "console",
    text: `$ echo $$ > ${pidFile}; sleep 1000; true # leave it running`,
    place: "here",
    isSkipped: false,
  };
  const script = `
    import { Reader } from ${JSON.stringify(reader)};
    await new Reader(${JSON.stringify(world.dir)}, process.env).follow(${JSON.stringify(block)});
    setInterval(() => {}, 1_000_000);
  `;
  const runner = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "inherit"] });
  await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8").endsWith("\n"));
  const group = Number(readFileSync(pidFile, "utf8"));
  try {
    expect(isAlive(group)).toBeTrue();
    runner.kill("SIGKILL");
    await runner.exited;
    await until(() => !isAlive(group));
  } finally {
    if (isAlive(group)) process.kill(-group, "SIGKILL");
  }
});
