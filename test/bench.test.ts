import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const bench = join(import.meta.dir, "..", "bench", "run.ts");

interface Run {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the bench with a temporary directory of its own, so that what it leaves there can be seen. */
async function runBench(folder: string, ...args: string[]): Promise<Run> {
  const child = Bun.spawn([process.execPath, bench, ...args], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { exitCode, stdout, stderr };
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "furrow-bench-test-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const row = {
  transport: "unix",
  p50Ns: expect.any(Number) as number,
  p99Ns: expect.any(Number) as number,
  opsPerSec: expect.any(Number) as number,
  baseline: expect.any(String) as string,
  ratio: expect.any(Number) as number,
};

describe("bench", () => {
  test("writes the rows that it was asked for as JSON, and leaves nothing else behind", async () => {
    await inFolder(async (folder) => {
      const json = join(folder, "results.json");
      const run = await runBench(
        folder,
        "--quick",
        "--only",
        "echo.unix,rpc.unix",
        "--pin",
        "none",
        "--json",
        json,
      );
      expect(run).toMatchObject({ exitCode: 0, stderr: "" });
      expect(run.stdout).toContain("rpc.unix");
      expect(await Bun.file(json).json()).toMatchObject({
        env: { bun: Bun.version, quick: true },
        rows: [
          { ...row, id: "echo.unix", pinned: false },
          { ...row, id: "rpc.unix", pinned: false },
        ],
      });
      expect(readdirSync(folder)).toEqual(["results.json"]);
    });
  });

  test("refuses a row that it does not have, and lists those that it has", async () => {
    await inFolder(async (folder) => {
      const { exitCode, stdout, stderr } = await runBench(folder, "--only", "echo.unix,echo.pigeon");
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toStartWith(
        "bench: no row of the bench is called echo.pigeon; there are echo.unix, echo.tcp,",
      );
    });
  });
});
