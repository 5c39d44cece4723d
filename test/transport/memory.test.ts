import { describe, expect, test } from "bun:test";

import { memoryLinks } from "../../src/transport/memory.ts";
import type { Link, LinkEnd } from "../../src/transport/transport.ts";

/** Everything the link's reader receives, as text. */
function heard(link: Link): string[] {
  const events: string[] = [];
  link.reader = {
    onData: (chunk) => void events.push(new TextDecoder().decode(chunk)),
    onEnd: ({ kind }: LinkEnd) => void events.push(kind),
  };
  return events;
}

function say(link: Link, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  link.write(bytes, 0, bytes.length, true);
  return bytes;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("memoryLinks", () => {
  test("say that the other end is this process", () => {
    const self = { kind: "unix" as const, uid: process.getuid!(), pid: process.pid };
    expect(memoryLinks().map(({ peer }) => peer)).toEqual([self, self]);
  });

  test("carry copies both ways, in order, and never from within the call", async () => {
    const [one, two] = memoryLinks();
    const [atOne, atTwo] = [heard(one), heard(two)];
    say(one, "a").fill(0);
    say(one, "b");
    say(two, "c");
    expect([atOne, atTwo]).toEqual([[], []]);
    await turn();
    expect([atOne, atTwo]).toEqual([["c"], ["a", "b"]]);
  });

  test("end once on both sides, after what was written before", async () => {
    const [one, two] = memoryLinks();
    const [atOne, atTwo] = [heard(one), heard(two)];
    say(one, "last");
    await one.close();
    await one.close();
    two.abort();
    say(one, "lost");
    say(two, "lost");
    await turn();
    expect(atOne).toEqual(["closed"]);
    expect(atTwo).toEqual(["last", "ended"]);

    const [three, four] = memoryLinks();
    const [atThree, atFour] = [heard(three), heard(four)];
    say(three, "last");
    three.abort(new Error("enough"));
    await turn();
    expect([atThree, atFour]).toEqual([["failed"], ["last", "ended"]]);
  });
});
