import { expect, test } from "bun:test";
import { join } from "node:path";

test("a boot without the JIT, which bun:ffi needs, is told so", async () => {
  const index = join(import.meta.dir, "../../src/index.ts");
  const program = `const { openNursery } = await import(${JSON.stringify(index)});
    await openNursery().catch((error) => console.log(error.message));
    process.exit();`;
  await using child = Bun.spawn([process.execPath, "-e", program], {
    env: { ...process.env, BUN_JSC_useJIT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const text = await child.stdout.text();
  expect(text).toContain("furrow calls the C library through bun:ffi, which needs the JIT");
  expect(text).toContain("BUN_JSC_useJIT=0");
  expect(await child.exited).toBe(0);
});
