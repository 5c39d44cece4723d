import { afterEach, describe, expect, setSystemTime, test } from "bun:test";

import { ChildHistory, type PastEvent } from "../../src/tree/child-history.ts";

function died(at: number): PastEvent {
  return {
    type: "died",
    id: { name: "child", uuid: String(at), pid: 1, host: "h" },
    at,
    startedAt: 0,
    restarts: 0,
  };
}

function times(history: ChildHistory, earliest = 0): number[] {
  return history.since(earliest).map(({ at }) => at);
}

describe("ChildHistory", () => {
  afterEach(() => void setSystemTime());

  test("keeps the last 64 events", () => {
    setSystemTime(new Date(1_000));
    const history = new ChildHistory();
    for (let at = 0; at < 100; at++) history.add(died(at));
    expect(times(history)).toEqual(Array.from({ length: 64 }, (_, n) => n + 36));
    expect(times(history, 98)).toEqual([98, 99]);
  });

  test("forgets what is older than 5 minutes", () => {
    const history = new ChildHistory();
    for (const at of [0, 1_000, 299_000]) history.add(died(at));
    setSystemTime(new Date(301_000));
    expect(times(history)).toEqual([1_000, 299_000]);
    setSystemTime(new Date(900_000));
    expect(times(history)).toEqual([]);
  });
});
