/** Completion in the shells themselves, those that this machine has. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { furrow } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

const main = join(import.meta.dir, "../../src/cli/main.ts");
let shop: Shop;
let env: Record<string, string>;
beforeAll(async () => {
  shop = await Shop.open();
  const bin = join(shop.tree.dir, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "furrow"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, {
    mode: 0o755,
  });
  env = { ...shop.env, PATH: `${bin}:${process.env["PATH"]}`, HOME: shop.tree.dir };
});
afterAll(() => shop[Symbol.asyncDispose]());

/** The candidates for the last word. */
async function candidates(...words: string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await furrow(shop.env, ["completion", "words", "--", ...words]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => line.split("\t")[0]!);
}

describe("completion", () => {
  test("offers commands, and options once a dash is typed", async () => {
    expect(await candidates("st")).toEqual(["stream", "stop"]);
    expect(await candidates("--j")).toEqual(["--json"]);
    expect(await candidates("--json", "st")).toEqual(["stream", "stop"]);
    expect(await candidates("stop", "--")).toContain("--timeout");
    expect(await candidates("nonsense", "")).toEqual([]);
  });

  test("offers the choices of an option", async () => {
    expect(await candidates("ls", "--sort", "")).toEqual(["name", "cpu", "rss", "up"]);
    expect(await candidates("--color", "a")).toEqual(["auto", "always"]);
    expect(await candidates("completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  test("offers the names of actors, and then the functions that fit the command", async () => {
    expect(await candidates("info", "m")).toEqual(["market"]);
    expect(await candidates("info", "market", "")).toEqual([]);
    expect(await candidates("call", "m")).toEqual(["market."]);
    expect(await candidates("call", "market.g")).toEqual(["market.getPrice", "market.greet"]);
    expect(await candidates("stream", "market.")).toEqual(["market.breaks", "market.pauses", "market.ticks"]);
  });

  test("offers nothing, and says nothing, where there's no registrar", async () => {
    const nowhere = { ...shop.env, FURROW_REGISTRY_ADDRS: `unix://${shop.tree.dir}/nobody@1.sock` };
    expect(await furrow(nowhere, ["completion", "words", "--", "info", ""])).toEqual({
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
  });
});

/** What a shell prints. */
async function output(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect([await child.exited, errors]).toEqual([0, ""]);
  return text;
}

const hasZsh = Bun.which("zsh") !== null;
const hasFish = Bun.which("fish") !== null;
if (!hasZsh) console.warn("skipped: completion in zsh, which isn't installed");
if (!hasFish) console.warn("skipped: completion in fish, which isn't installed");

describe("furrow completion", () => {
  test("works in bash, where a name with a space is quoted", async () => {
    const odd = await shop.start("an odd name");
    const script = `source <(furrow completion bash)
      complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { echo "compopt $*"; }; _furrow; printf '%s\\n' "\${COMPREPLY[@]}"; }
      complete_words furrow call mark
      complete_words furrow call market.gr
      complete_words furrow info an`;
    expect(await output(["bash", "-c", script])).toBe(
      "compopt -o nospace\nmarket.\nmarket.greet\nan\\ odd\\ name\n",
    );
    await odd.cancelActor();
  });

  test.skipIf(!hasFish)("works in fish", async () => {
    const script =
      "furrow completion fish | source; complete -C 'furrow call market.gr'; complete -C 'furrow sto'";
    expect(await output(["fish", "--no-config", "-c", script])).toBe(
      "market.greet\trun\nstop\tend an actor\n",
    );
  });

  test.skipIf(!hasZsh)("works in zsh", async () => {
    // compadd only works on the command line: here it shows what it would add
    const script = `compdef() { :; }; _files() { echo files; }
      compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@"; }
      source <(furrow completion zsh)
      words=(furrow call market.gr); CURRENT=3; _furrow
      words=(furrow call mark); CURRENT=3; _furrow
      words=(furrow replace market ""); CURRENT=4; _furrow`;
    expect(await output(["zsh", "-f", "-c", script])).toBe("market.greet\nmarket.\nfiles\n");
  });

  test("fails with 2 for another shell", async () => {
    const { exitCode, stderr } = await furrow({}, ["completion", "csh"]);
    expect([exitCode, stderr]).toEqual([
      2,
      'furrow: there is no completion for "csh", only for bash, zsh, fish\n',
    ]);
  });
});
