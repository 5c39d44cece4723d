/** What needs no tree: the help, wrong command lines, and a registrar that isn't there. */
import { describe, expect, test } from "bun:test";

import { writeFileSync } from "node:fs";

import manifest from "../../package.json";
import { commandList } from "../../src/cli/command-list.ts";
import { furrow, inTerminal } from "../support/command-line.ts";
import { expectGolden } from "../support/golden.ts";
import { World } from "../support/world.ts";

describe("furrow --help", () => {
  test("lists the commands by group", async () => {
    const { exitCode, stdout, stderr } = await furrow({}, ["--help"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expectGolden("help/furrow", stdout, asItIs);
  });

  test("has bold titles in a terminal", async () => {
    expect((await inTerminal({}, ["-h"])).text).toContain("\u001b[1mUsage\u001b[22m\n");
  });

  test("is what a command line without a command gets, on stderr with exit code 2", async () => {
    const { exitCode, stdout, stderr } = await furrow({}, []);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("Usage");
  });

  test.each(Object.keys(commandList))("of %s has its options and an example", async (name) => {
    const { command } = await commandList[name]!.load();
    expect(command.example).toStartWith(`furrow ${name}`);
    const { commandHelp } = await import("../../src/cli/help.ts");
    expectGolden(
      `help/${name}`,
      commandHelp(name, command, (_, text) => text),
      asItIs,
    );
  });

  test("of a command needs no arguments", async () => {
    const { exitCode, stdout } = await furrow({}, ["call", "--help"]);
    expect(exitCode).toBe(0);
    expect(stdout).toStartWith("Call a function of an actor.\n");
  });
});

test("furrow --version prints the version of the package", async () => {
  expect(await furrow({}, ["--version"])).toEqual({
    exitCode: 0,
    stdout: `${manifest.version}\n`,
    stderr: "",
  });
});

describe("a command line that makes no sense", () => {
  test.each([
    [["lss"], 'there is no command "lss": did you mean ls?'],
    [["something"], 'there is no command "something": furrow --help lists them'],
    [["toString"], 'there is no command "toString": furrow --help lists them'],
    [["ls", "--nope"], "furrow ls has no option --nope: see furrow ls --help"],
    [["--nope"], "furrow has no option --nope: see furrow --help"],
    [["ls", "a", "b"], 'furrow ls doesn\'t take the argument "b": write: furrow ls [GLOB]'],
    [["info"], "furrow info needs more arguments: write: furrow info NAME[#UUID]"],
    [["ls", "--color", "pink"], '--color must be auto, always, never, got "pink"'],
    [["ls", "--sort"], "option '--sort <value>' argument missing: see furrow ls --help"],
    [
      ["call", "a.b", "--timeout", "soon"],
      '--timeout must be a duration such as 5s, 250ms or 2m, got "soon"',
    ],
    [["wait", "a", "--gone", "--count", "2"], "--count and --gone don't go together"],
    [["call", "a.b", "--timeout", "-5"], '--timeout must be a duration such as 5s, 250ms or 2m, got "-5"'],
  ])("%j fails with 2", async (args, message) => {
    expect(await furrow({}, args)).toEqual({ exitCode: 2, stdout: "", stderr: `furrow: ${message}\n` });
  });

  test("may have the common options before the command", async () => {
    await using world = new World();
    const args = ["--registry", world.unix, "--json", "-q", "ls"];
    expect((await furrow(world.env, args)).exitCode).toBe(3);
  });

  test.each([
    [["ls", "--registry", "nowhere"], "address"],
    [["info", "a\u0001b"], "control character"],
  ])("%j fails with 2", async (args, part) => {
    await using world = new World();
    await using _actor = await started(world);
    const { exitCode, stderr } = await furrow(world.env, args);
    expect([exitCode, stderr.includes(part)]).toEqual([2, true]);
  });
});

describe("without a registrar", () => {
  test.each([[["ls"]], [["call", "a.b"]], [["stop", "a"]], [["wait", "a", "--gone"]]])(
    "%j fails with 3, and says what to do",
    async (args) => {
      await using world = new World();
      const { exitCode, stdout, stderr } = await furrow(world.env, args);
      expect([exitCode, stdout]).toEqual([3, ""]);
      expect(stderr).toStartWith("furrow: no registrar answers at ");
      expect(stderr).toContain("--registry");
    },
  );

  test("furrow wait waits for one", async () => {
    await using world = new World();
    const waiting = furrow(world.env, ["wait", "late"]);
    await using _actor = await started(world, "late");
    expect(await waiting).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  test("--registry says where it is", async () => {
    await using world = new World();
    await using _actor = await started(world);
    const { FURROW_REGISTRY_ADDRS: _addrs, ...env } = world.env;
    const args = ["ls", "--registry", world.tcp, "--registry", world.unix];
    const { exitCode, stdout } = await furrow({ ...env, FURROW_REGISTRY_ADDRS: "" }, args);
    expect([exitCode, stdout.includes("market")]).toEqual([0, true]);
  });

  test("--token-file has the secret for an address over tcp", async () => {
    await using world = new World();
    await using _actor = await started(world);
    const texts = {
      token: process.env["FURROW_SECRET"]!,
      wrong: "another secret that is long enough to be one",
    };
    for (const [file, text] of Object.entries(texts))
      writeFileSync(`${world.dir}/${file}`, text, { mode: 0o600 });
    const env = { ...world.env, FURROW_SECRET: "" };
    const run = (file: string): Promise<{ exitCode: number; stderr: string }> =>
      furrow(env, ["ls", "--registry", world.tcp, "--token-file", `${world.dir}/${file}`]);
    expect((await run("token")).exitCode).toBe(0);
    const wrong = await run("wrong");
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain("--token-file");
  });
});

const asItIs = (text: string): string => text;

async function started(world: World, name = "market"): Promise<AsyncDisposable> {
  const program = await world.actor(name, { registryAddrs: world.registryAddrs });
  return { [Symbol.asyncDispose]: () => program.kill() };
}
