/** Who gets colours: a terminal does, a pipe doesn't, unless the environment or `--color` says otherwise. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type Env, furrow, inTerminal } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

const bold = "\u001b[1m";
const red = "\u001b[31m";

interface Setting {
  readonly env?: Env;
  readonly color?: string;
  readonly has: boolean;
}

/** On stdout, and on stderr, since the name isn't there. */
const words = { data: ["ls"], error: ["ls", "markt"] } as const;

async function inPipe({ env, color }: Setting, what: keyof typeof words): Promise<string> {
  const args = [...words[what], ...(color === undefined ? [] : ["--color", color])];
  const { stdout, stderr } = await furrow({ ...shop.env, ...env }, args);
  return stdout + stderr;
}

async function onTerminal({ env, color }: Setting, what: keyof typeof words): Promise<string> {
  const args = [...words[what], ...(color === undefined ? [] : ["--color", color])];
  return (await inTerminal({ ...shop.env, ...env }, args)).text;
}

describe("in a terminal", () => {
  test.each([
    { has: true },
    { env: { NO_COLOR: "1" }, has: false },
    // as https://no-color.org has it
    { env: { NO_COLOR: "" }, has: true },
    { env: { TERM: "dumb" }, has: false },
    { env: { FORCE_COLOR: "0" }, has: false },
    { color: "never", has: false },
    { env: { NO_COLOR: "1" }, color: "always", has: true },
  ] as readonly Setting[])("%j", async (setting) => {
    expect((await onTerminal(setting, "data")).includes(bold)).toBe(setting.has);
    expect((await onTerminal(setting, "error")).includes(red)).toBe(setting.has);
  });
});

describe("in a pipe", () => {
  test.each([
    { has: false },
    { env: { FORCE_COLOR: "1" }, has: true },
    { env: { FORCE_COLOR: "0" }, has: false },
    { env: { FORCE_COLOR: "1", NO_COLOR: "1" }, has: false },
    { color: "auto", has: false },
    { color: "always", has: true },
    { env: { FORCE_COLOR: "1" }, color: "never", has: false },
  ] as readonly Setting[])("%j", async (setting) => {
    expect((await inPipe(setting, "data")).includes(bold)).toBe(setting.has);
    expect((await inPipe(setting, "error")).includes(red)).toBe(setting.has);
  });
});

describe("with NO_COLOR, a terminal gets what it gets with it, without the escape sequences", () => {
  test.each([
    [["tree"]],
    [["info", "orders"]],
    [["doctor"]],
    [["ls", "--help"]],
    [["--help"]],
    [["call", "market.nope"]],
  ] as const)("%j", async (args) => {
    const steady = (text: string): string =>
      text
        .replaceAll(/[\d.]+(?= ?(?:m?s|M)\b)/g, "0")
        // cut shorter where a figure beside it has become longer
        .replaceAll(/unix:\S+/g, "unix:…")
        .replaceAll(/ +/g, " ");
    const plain = (await inTerminal({ ...shop.env, NO_COLOR: "1" }, args)).text;
    const coloured = (await inTerminal(shop.env, args)).text;
    expect(plain).not.toContain("\u001b");
    expect(coloured).toContain("\u001b");
    expect(steady(Bun.stripANSI(coloured))).toBe(steady(plain));
  });
});
