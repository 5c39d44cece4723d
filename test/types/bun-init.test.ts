/** furrow in a project with the settings of `bun init`: what compiles there, and what the compiler says where it doesn't. */
import { beforeAll, describe, expect, test } from "bun:test";

import { compileMs, userProject } from "./user-project.ts";

const tools = `
export function add(a: number, b: number): number {
  return a + b;
}
export function watch(path: string, changed: (path: string) => void): void {
  changed(path);
}
export function open(path: string): { path: string; close(): void } {
  return { path, close() {} };
}
`;

const untyped = `import { findActor, type Portal } from "furrow";

const portal: Portal = await findActor("tools", { raiseOnNone: true });
const sum: number = await portal.run.add(1, 2);
for await (const tick of portal.stream.ticks("btc")) console.log(tick, sum);
await using dialog = await portal.open.feed("btc");
await dialog.send("faster");
const name: string = "add";
await portal.run[name](1, 2);

const typed = await findActor<typeof import("./tools.ts")>("tools", { raiseOnNone: true });
const three: number = await typed.run.add(1, 2);
const loose: Portal = typed;
await loose.run.add(three);
`;

const faulty = `import { findActor } from "furrow";

const portal = await findActor<typeof import("./tools.ts")>("tools", { raiseOnNone: true });
await portal.run.watch("/tmp", () => {});
await portal.run.open("/tmp");
`;

describe("with the settings of bun init", () => {
  let printed = "";

  beforeAll(async () => {
    using project = await userProject({ "tools.ts": tools, "untyped.ts": untyped, "faulty.ts": faulty });
    printed = await project.compile();
  }, compileMs);

  test("an untyped portal can be called, streamed from and opened", () => {
    expect(printed).not.toContain("untyped.ts");
  });

  test("a function that can't be called is an error at its name that says why", () => {
    expect(printed).toContain(
      `faulty.ts(4,18): error TS2349: This expression is not callable.
  Type 'CannotCross<"arguments[1] is a function">' has no call signatures.
faulty.ts(5,18): error TS2349: This expression is not callable.
  Type 'CannotCross<"result.close is a function">' has no call signatures.
`,
    );
  });

  test("nothing else is an error", () => {
    expect(printed.match(/^\S.*error/gm)).toHaveLength(2);
  });
});
