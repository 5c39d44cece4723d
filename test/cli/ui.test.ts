/** `furrow ui`: prints a link, serves the page until it is interrupted, and opens a browser for people only. */
import { describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expectSchema } from "../support/cli-schema.ts";
import { furrow, start, TerminalRun } from "../support/command-line.ts";
import { until, World } from "../support/world.ts";

/** The first line of a stream. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) return text.slice(0, text.indexOf("\n"));
  }
  throw new Error(`it ended after ${JSON.stringify(text)}`);
}

describe("furrow ui", () => {
  test("prints a link to the page in one file, and serves it until Ctrl-C", async () => {
    await using world = new World();
    await world.actor("shop");
    await using child = start(world.env, "ui", "--no-open");
    const url = await firstLine(child.stdout);
    const response = await fetch(url);
    const html = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(html).toContain("<title>furrow</title>");
    // nothing is loaded from anywhere
    expect(html.match(/<(?:script|link|img)[^>]*(?:src|href)="(?!data:)[^"]*"/g)).toBeNull();
    expect(html).not.toMatch(/url\((?!data:)|@import/);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("prints one document with --json, and takes the port that it's given", async () => {
    await using world = new World();
    await world.actor("shop");
    using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = listener;
    const taken = await furrow(world.env, ["ui", "--no-open", "--port", String(port)]);
    expect([taken.exitCode, taken.stdout]).toEqual([1, ""]);
    expect(taken.stderr).toContain(`cannot serve the page on port ${port} of 127.0.0.1`);
    listener.stop(true);
    await using child = start(world.env, "ui", "--json", "--port", String(port));
    const text = child.stdout.text();
    await until(async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)) !== undefined);
    child.kill("SIGTERM");
    await child.exited;
    expect(expectSchema("ui", await text)).toEqual({
      schema: 1,
      pages: [
        {
          url: expect.stringMatching(
            new RegExp(`^http://127\\.0\\.0\\.1:${port}/[\\w-]{22}/\\?token=[\\w-]{22}$`),
          ),
        },
      ],
    });
  });

  test("fails with 2 for a port that there isn't, and with 3 without a registrar", async () => {
    await using world = new World();
    const wrong = await furrow(world.env, ["ui", "--port", "70000"]);
    expect([wrong.exitCode, wrong.stderr]).toEqual([
      2,
      'furrow: --port takes a number from 0 to 65535, got "70000"\n',
    ]);
    expect((await furrow(world.env, ["ui", "--no-open"])).exitCode).toBe(3);
  });

  test.skipIf(process.platform !== "linux")(
    "opens the link in a terminal's desktop, unless told not to",
    async () => {
      await using world = new World();
      await world.actor("shop");
      const opened = join(world.dir, "opened");
      const opener = join(world.dir, "xdg-open");
      writeFileSync(opener, `#!/bin/sh\nprintf '%s\\n' "$1" >>'${opened}'\n`);
      chmodSync(opener, 0o755);
      const env = { ...world.env, PATH: `${world.dir}:${process.env["PATH"] ?? ""}`, DISPLAY: ":0" };
      const url = /http:\/\/127\.0\.0\.1:\d+\/[\w-]+\/\?token=[\w-]+/;
      for (const [args, isOpened] of [
        [["ui", "--no-open"], false],
        [["ui"], true],
      ] as const) {
        await using run = new TerminalRun(env, args);
        await run.shows("the link works once");
        const [printed = ""] = url.exec(run.text) ?? [];
        if (isOpened)
          await until(() => Bun.file(opened).size > 0 && readFileSync(opened, "utf8") === `${printed}\n`);
        run.type("\x03");
        expect((await run.outcome()).exitCode).toBe(130);
        if (!isOpened) expect(await Bun.file(opened).exists()).toBe(false);
      }
    },
  );
});
