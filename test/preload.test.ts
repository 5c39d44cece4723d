import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const preload = join(import.meta.dir, "preload.ts");

async function runTestFile(source: string): Promise<{ readonly exitCode: number; readonly output: string }> {
  const folder = await mkdtemp(join(tmpdir(), "furrow-preload-"));
  try {
    await Bun.write(join(folder, "subject.test.ts"), `import { test } from "bun:test";\n${source}`);
    const child = Bun.spawn([process.execPath, "test", "--preload", preload], {
      cwd: folder,
      stdout: "ignore",
      stderr: "pipe",
    });
    const [exitCode, output] = await Promise.all([child.exited, child.stderr.text()]);
    return { exitCode, output };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("preload", () => {
  test("passes a file that closes what it opens", async () => {
    const { exitCode } = await runTestFile(`
      test("tidy", async () => {
        const child = Bun.spawn(["sleep", "60"]);
        const timer = setTimeout(() => {}, 60_000);
        const unix = process.env.FURROW_RUNTIME_DIR + "/tidy.sock";
        const listener = Bun.listen({ unix, socket: { data() {} } });
        listener.stop(true);
        clearTimeout(timer);
        child.kill();
        await child.exited;
      });`);
    expect(exitCode).toBe(0);
  });

  test.skipIf(process.platform !== "linux")("fails a file and names all that it leaves behind", async () => {
    const { exitCode, output } = await runTestFile(`
      test("untidy", async () => {
        const stdio = ["ignore", "ignore", "ignore"];
        Bun.spawn(["sleep", "61"], { stdio });
        await Bun.spawn(["sh", "-c", "sleep 62 &"], { stdio, env: { ...process.env } }).exited;
        setTimeout(() => {}, 60_000);
        Bun.listen({ unix: process.env.FURROW_RUNTIME_DIR + "/left.sock", socket: { data() {} } });
      });`);
    expect(exitCode).toBe(1);
    expect(output).toContain("subject.test.ts left behind:");
    expect(output).toContain("entry left.sock in the runtime folder");
    expect(output).toMatch(/process \d+ \(sleep 61\)/);
    expect(output).toMatch(/process \d+ \(sleep 62\)/);
    expect(output).toMatch(/Timeout \d/);
    expect(output).toMatch(/descriptor \d+ \(socket:/);
    for (const [, pid] of output.matchAll(/process (\d+) \(sleep 6[12]\)/g)) {
      try {
        process.kill(Number(pid));
      } catch {
        // Bun has ended it already, together with the test run
      }
    }
  });

  test("ends an actor that a test leaves behind, and fails that test alone", async () => {
    const index = JSON.stringify(join(import.meta.dir, "../src/index.ts"));
    const { exitCode, output } = await runTestFile(`
      const { openRootActor } = await import(${index});
      test("leaves", async () => void await openRootActor({ name: "forgotten" }));
      test("hangs", async () => {
        await using actor = await openRootActor({ name: "hanging" });
        await new Promise(() => {});
      }, 100);
      test("finds none", async () => {
        await using actor = await openRootActor();
      });`);
    expect(exitCode).toBe(1);
    expect(output).toContain('the test left actor "forgotten" running');
    expect(output).toContain('the test left actor "hanging" running');
    expect(output).toContain("(pass) finds none");
    expect(output).toContain(" 2 fail");
  });
});
