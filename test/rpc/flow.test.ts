/** The two ends of a flow under credit, by themselves. */
import { describe, expect, test } from "bun:test";

import { Inbox } from "../../src/rpc/flow.ts";

describe("Inbox", () => {
  test("lets go of what was read though its writer is always ahead, and keeps the order", async () => {
    const inbox = new Inbox({ messages: 64, bytes: 1_000_000 }, () => {});
    const held: WeakRef<object>[] = [];
    const put = (n: number): void => {
      const value = { n };
      held.push(new WeakRef(value));
      inbox.push(value, 1);
    };
    put(0);
    for (let n = 0; n < 1_000; n++) {
      put(n + 1);
      const step = await inbox.next();
      expect(step).toEqual({ done: false, value: { n } });
    }
    // references are looked at in a later turn: a WeakRef that was made holds its target until then
    await Bun.sleep(0);
    Bun.gc(true);
    const alive = held.filter((ref) => ref.deref() !== undefined).length;
    expect(alive).toBeLessThan(10);
  });
});
