/** How an actor's process is started: its data, its working directory, its flags, its debugger. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  currentActor,
  EncodeError,
  findActor,
  LimitError,
  openNursery,
  SpawnError,
  type StartOptions,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { inspectFlags, withoutBanner } from "../../src/tree/inspector.ts";
import { Events } from "../support/events.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { freePort, World } from "../support/world.ts";

const module = new URL("../fixtures/started.ts", import.meta.url);
type Started = typeof import("../fixtures/started.ts");

describe("data", () => {
  test.each([
    ["null", null],
    ["a number", 42],
    ["a text", "hello"],
    ["a binary", new Uint8Array([1, 2, 3])],
    [
      "a structure of everything that can cross",
      {
        list: [1n, -0, Number.NaN, undefined],
        map: new Map([[{ key: 1 }, new Set(["a"])]]),
        at: new Date(1_001),
      },
    ],
  ])("that is %s is there when the actor's module is imported", async (_, data) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Started>("child", { module, data });
    expect(await child.run.data()).toEqual(data);
    expect(await child.run.dataAtImport()).toBe(Bun.inspect(data, { depth: 9 }));
    await using found = await findActor<Started>("child", { raiseOnNone: true });
    expect(await found.run.data()).toEqual(data);
  });

  test("is undefined where none was given, and in a root", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Started>("child", { module });
    expect(await child.run.data()).toBeUndefined();
    expect(currentActor().data).toBeUndefined();
  });

  test("may be far larger than an environment variable, and many actors may get some at once", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const bytes = new Uint8Array(20_000_000).fill(7);
    const text = "x".repeat(300_000);
    const [one, two, three] = await Promise.all([
      nursery.startActor<Started>("bytes", { module, data: bytes }),
      nursery.startActor<Started>("text", { module, data: text }),
      nursery.startActor<Started>("again", { module, data: bytes }),
    ]);
    expect(await one.run.size()).toBe(bytes.length);
    expect(await two.run.size()).toBe(text.length);
    expect(await three.run.size()).toBe(bytes.length);
  });

  test("is copied when startActor is called: later changes reach neither the actor nor its restarts", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const data = { list: [1], bytes: new Uint8Array(100_000) };
    const starting = nursery.startActor<Started>("child", {
      module,
      data,
      restart: { when: "on-failure", backoffMs: [1, 1] },
    });
    data.list.push(2);
    data.bytes.fill(9);
    const child = await starting;
    const sum = (value: unknown): number => (value as typeof data).bytes.reduce((a, b) => a + b, 0);
    const got = (await child.run.data()) as typeof data;
    expect([got.list, sum(got)]).toEqual([[1], 0]);
    await child.run.die().catch(() => {});
    await events.until(["restarted child"]);
    await using again = await findActor<Started>("child", { raiseOnNone: true });
    const same = (await again.run.data()) as typeof data;
    expect([same.list, sum(same)]).toEqual([[1], 0]);
  });

  test("that cannot cross is refused with the path to it, before there is a process", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const error = await failure(
      nursery.startActor("child", { module, data: { settings: [{ onDone: () => {} }] } }),
    );
    expect(error).toBeInstanceOf(EncodeError);
    expect(error.message).toContain("data of child");
    expect(error.message).toContain("settings[0].onDone");
    await nursery.cancel();
    await events.ended;
    expect(events.lines).toEqual([]);
  });

  test("beyond maxFrameBytes is refused with its size", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxFrameBytes: 100_000 } });
    const error = await failure(nursery.startActor("child", { module, data: "x".repeat(100_001) }));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toStartWith('data of actor "child": frame of ');
    const child = await nursery.startActor<Started>("child", { module, data: "x".repeat(99_900) });
    expect(await child.run.size()).toBe(99_900);
  });

  test("is given to the child alone: another peer that asks is refused", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor("child", { module, data: "private", restart: "on-failure" });
    await using peer = await RawPeer.connect(currentActor().registryAddrs[0]!, {});
    await peer.take(Kind.hello);
    peer.send([Kind.data, 1]);
    expect(JSON.stringify(await peer.take(Kind.error))).toContain("PermissionDeniedError");
  });
});

describe("cwd", () => {
  test("is the actor's working directory; the module is still found from the parent's", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const folder = join(world.dir, "folder");
    mkdirSync(folder);
    const child = await nursery.startActor<Started>("child", {
      module: "./test/fixtures/started.ts",
      cwd: folder,
    });
    expect(await child.run.cwd()).toBe(realpathSync(folder));
    const other = await nursery.startActor<Started>("other", { module, cwd: "test" });
    expect(await other.run.cwd()).toBe(join(process.cwd(), "test"));
  });

  test.each([
    ["does not exist", "nowhere", "does not exist"],
    ["is a file", "file", "is not a directory"],
  ])("that %s is a SpawnError that names it", async (_, name, why) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    writeFileSync(join(world.dir, "file"), "");
    const cwd = join(world.dir, name);
    const error = await failure(nursery.startActor("child", { module, cwd }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toBe(`cannot start actor "child": its cwd ${cwd} ${why}`);
    expect(nursery.signal.aborted).toBeFalse();
    expect(nursery.children).toEqual([]);
  });
});

describe("execArgv", () => {
  test("gives Bun flags before the actor's script", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const preload = join(world.dir, "preload.ts");
    writeFileSync(preload, 'globalThis.preloaded = "yes";\n');
    const execArgv = ["--smol", "--preload", preload];
    const child = await nursery.startActor<Started>("child", { module, execArgv });
    expect(await child.run.execArgv()).toEqual(execArgv);
    expect(await child.run.preloaded()).toBe("yes");
  });

  test.each([
    ["isn't a list", "--smol", TypeError, "execArgv must be a list of strings"],
    ["holds something else", ["--smol", 1], TypeError, "execArgv must be a list of strings"],
    ["begins with a file", ["./other.ts"], RangeError, "execArgv must begin with a flag of Bun"],
  ])("that %s is refused before there is a process", async (_, execArgv, type, message) => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const options = { module, execArgv } as unknown as StartOptions;
    const error = await failure(nursery.startActor("child", options));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toStartWith(message);
  });

  test("that Bun can't follow is a SpawnError with what Bun says", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const execArgv = ["--preload", "./nowhere.ts"];
    const error = await failure(nursery.startActor("child", { module, execArgv, output: "ignore" }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toContain("nowhere.ts");
  });
});

/** Starts actors in another program; returns what it prints on stderr. */
async function printed(world: World, options: StartOptions, after = ""): Promise<string> {
  const program = await world.actor("root");
  await program.run(
    async ({ furrow, args }) => {
      await using nursery = await furrow.openNursery();
      const child = await nursery.startActor<Started>("quotes", args[0] as StartOptions);
      await child.run.say(args[1] as string);
    },
    options,
    after,
  );
  await program.run(() => void setTimeout(() => process.exit(0), 10));
  return await program.stderr;
}

const told =
  /^furrow: debugger of quotes#[0-9a-f]{8} \(pid \d+\): (ws:\/\/\S+), in a browser: https:\/\/debug\.bun\.sh\/#(\S+)$/m;

describe("inspect", () => {
  test("makes the actor listen for a debugger, and prints its address with the actor's name", async () => {
    await using world = new World();
    const program = await world.actor("root");
    const ports = await program.run(async ({ furrow, keep, args }) => {
      const nursery = (keep["nursery"] = await furrow.openNursery());
      const module = args[0] as string;
      await Promise.all(["one", "two"].map((name) => nursery.startActor(name, { module, inspect: true })));
      return nursery.children.map(({ id }) => [id.name, id.pid]);
    }, module.href);
    expect(ports).toHaveLength(2);
    await program.run(async ({ keep }) => {
      await (keep["nursery"] as AsyncDisposable)[Symbol.asyncDispose]();
      setTimeout(() => process.exit(0), 10);
    });
    const lines = (await program.stderr).trimEnd().split("\n").toSorted();
    expect(lines).toHaveLength(2);
    const found = lines.map((line) => /debugger of (\w+)#.* ws:\/\/127\.0\.0\.1:(\d+)\//.exec(line)!);
    expect(found.map(([, name]) => name)).toEqual(["one", "two"]);
    // each has a port of its own
    expect(new Set(found.map(([, , port]) => port)).size).toBe(2);
  });

  test.each(["inherit", "prefix", "ignore"] as const)(
    "listens where it is told to, whatever becomes of the output: %s",
    async (output) => {
      await using world = new World();
      const place = `127.0.0.1:${freePort()}/quotes`;
      const text = await printed(world, { module: module.href, inspect: place, output }, "said later");
      const [, address, browser] = told.exec(text) ?? [];
      expect([address, browser]).toEqual([`ws://${place}`, place]);
      expect(text).not.toContain("Bun Inspector");
      const later = { inherit: "said later\n", prefix: "quotes: said later\n", ignore: "" }[output];
      expect(text.replace(told, "").trimStart()).toBe(later);
    },
  );

  test("where the port is taken fails the start with what Bun says", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    try {
      const inspect = `127.0.0.1:${server.port}`;
      const error = await failure(nursery.startActor("child", { module, inspect, output: "ignore" }));
      expect(error).toBeInstanceOf(SpawnError);
      expect(error.message).toContain("Failed to start inspector");
    } finally {
      await server.stop(true);
    }
  });

  test("takes a port, a host, both, and a path; refuses anything else, which Bun would ignore", () => {
    expect(inspectFlags(undefined)).toEqual([]);
    expect(inspectFlags(false)).toEqual([]);
    expect(inspectFlags(true)).toEqual(["--inspect=127.0.0.1:0"]);
    for (const place of [
      "6499",
      "localhost",
      "127.0.0.1:0",
      "[::1]:6499/x",
      "127.0.0.1:6499/quotes",
      "ws://h:1/x",
    ]) {
      expect(inspectFlags(place)).toEqual([`--inspect=${place}`]);
    }
    for (const place of ["", "not a place", "a:b:c", "127.0.0.1:six", 7 as unknown as string]) {
      expect(() => inspectFlags(place)).toThrow(RangeError);
    }
  });
});

describe("env", () => {
  const variables = ["BUN_INSPECT", "BUN_INSPECT_CONNECT_TO", "BUN_INSPECT_NOTIFY"];

  test("never inherits this process's debugger, not even in a copy of its environment", async () => {
    await using world = new World();
    const program = await world.actor("root");
    const seen = await program.run(
      async ({ furrow, args }) => {
        const [names, module] = args as [string[], string];
        for (const name of names) process.env[name] = "ws://127.0.0.1:1/parent";
        await using nursery = await furrow.openNursery();
        const found: (string | null)[] = [];
        for (const env of [{}, { ...process.env } as Record<string, string>]) {
          const child = await nursery.startActor<Started>("child", { module, env });
          for (const name of names) found.push(await child.run.environment(name));
        }
        return found;
      },
      variables,
      module.href,
    );
    expect(seen).toEqual([null, null, null, null, null, null]);
  });

  test("may give the actor a debugger of its own", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const port = freePort();
    const env = { BUN_INSPECT: `127.0.0.1:${port}/own` };
    const child = await nursery.startActor<Started>("child", { module, env });
    expect(await child.run.environment("BUN_INSPECT")).toBe(env.BUN_INSPECT);
    const socket = new WebSocket(`ws://${env.BUN_INSPECT}`);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    socket.close();
  });
});

describe("withoutBanner", () => {
  const dashes = "--------------------- Bun Inspector ---------------------";
  const address = "  ws://127.0.0.1:6499/x";
  const banner = [
    dashes,
    "Listening:",
    address,
    "Inspect in browser:",
    "  https://debug.bun.sh/#127.0.0.1:6499/x",
    dashes,
  ];

  async function passed(text: string, step: number): Promise<{ text: string; addresses: string[] }> {
    const bytes = Buffer.from(text);
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
    }
    const addresses: string[] = [];
    const parts = await Array.fromAsync(withoutBanner(chunks(), (found) => addresses.push(found)));
    return { text: Buffer.concat(parts).toString(), addresses };
  }

  test("takes the banner away however the chunks are cut and its lines are ordered, and nothing else", async () => {
    const rest = "größer\nListening:\nlast";
    const scrambled = [0, 5, 3, 4, 1, 2].map((at) => banner[at]!);
    for (const lines of [banner, scrambled]) {
      for (const step of [1, 7, 1_000]) {
        for (const shown of [
          lines,
          lines.map((line) =>
            line.replace(/\S.*/, "\u001b[2m\u001b]8;;https://link\u001b\\$&\u001b]8;;\u001b\\\u001b[0m"),
          ),
        ]) {
          const found = await passed(`${shown.join("\n")}\n${rest}`, step);
          expect(found).toEqual({ text: rest, addresses: ["ws://127.0.0.1:6499/x"] });
        }
      }
    }
  });

  test("passes on what is no banner: an error, a long line, an unfinished one", async () => {
    for (const text of [
      "Failed to start inspector:\nmore\n",
      "x".repeat(5_000),
      "unfinished",
      "",
      `${dashes}\nerror\n`,
    ]) {
      const expected = text.startsWith(dashes) ? "error\n" : text;
      expect(await passed(text, 100)).toEqual({ text: expected, addresses: [] });
    }
  });
});
