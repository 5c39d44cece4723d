/** The restart policy by itself: no clock, no processes. */
import { describe, expect, test } from "bun:test";

import { readRestart, RestartBudget, type RestartOption } from "../../src/tree/restart.ts";

/** The waits for ends at the given times, all of them failures unless said otherwise. */
function waits(option: RestartOption, times: readonly number[], failed = true): (number | undefined)[] {
  const budget = new RestartBudget(readRestart(option));
  return times.map((time) => budget.next(failed, time));
}

describe("readRestart", () => {
  test("is never by default, and fills in what an option leaves out", () => {
    expect(readRestart()).toEqual({
      when: "never",
      maxRestarts: 5,
      withinMs: 60_000,
      backoffMs: [50, 5_000],
    });
    expect(readRestart("always").when).toBe("always");
    expect(readRestart({ when: "on-failure", maxRestarts: 1 })).toEqual({
      when: "on-failure",
      maxRestarts: 1,
      withinMs: 60_000,
      backoffMs: [50, 5_000],
    });
  });

  test("refuses what is out of range, by its name", () => {
    const bad: [unknown, string][] = [
      ["sometimes", "restart must be"],
      [{ when: "once" }, "restart must be"],
      [{ when: "always", maxRestarts: -1 }, "maxRestarts"],
      [{ when: "always", maxRestarts: 1.5 }, "maxRestarts"],
      [{ when: "always", withinMs: 0 }, "withinMs"],
      [{ when: "always", withinMs: Number.NaN }, "withinMs"],
      [{ when: "always", backoffMs: [10, 5] }, "backoffMs"],
      [{ when: "always", backoffMs: [-1, 5] }, "backoffMs"],
      [{ when: "always", backoffMs: [Number.NaN, Number.NaN] }, "backoffMs"],
    ];
    for (const [option, message] of bad) {
      expect(() => readRestart(option as RestartOption)).toThrow(RangeError);
      expect(() => readRestart(option as RestartOption)).toThrow(message);
    }
  });
});

describe("RestartBudget", () => {
  test("never restarts by never; a failure alone by on-failure; every end by always", () => {
    expect(waits("never", [0])).toEqual([undefined]);
    expect(waits("never", [0], false)).toEqual([undefined]);
    expect(waits("on-failure", [0])).toEqual([50]);
    expect(waits("on-failure", [0], false)).toEqual([undefined]);
    expect(waits("always", [0])).toEqual([50]);
    expect(waits("always", [0], false)).toEqual([50]);
  });

  test("doubles the wait from the first to the longest", () => {
    const option = { when: "always", maxRestarts: 7, backoffMs: [10, 100] } as const;
    expect(waits(option, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([10, 20, 40, 80, 100, 100, 100, undefined]);
  });

  test("counts the restarts of the window: what is older than it counts no more", () => {
    const option = { when: "always", maxRestarts: 2, withinMs: 100, backoffMs: [10, 1_000] } as const;
    expect(waits(option, [0, 50, 99])).toEqual([10, 20, undefined]);
    expect(waits(option, [0, 50, 100, 149, 150])).toEqual([10, 20, 20, undefined, 20]);
    // after a quiet window it begins anew
    expect(waits(option, [0, 50, 1_000])).toEqual([10, 20, 10]);
  });

  test("with maxRestarts 0 the first end is final, and a first wait of 0 stays 0", () => {
    expect(waits({ when: "always", maxRestarts: 0 }, [0])).toEqual([undefined]);
    expect(waits({ when: "always", backoffMs: [0, 0] }, [0, 1, 2])).toEqual([0, 0, 0]);
  });

  test("a wait that doubles very often stays the longest one", () => {
    const option = { when: "always", maxRestarts: 2_000, backoffMs: [1, 5] } as const;
    const all = waits(
      option,
      Array.from({ length: 2_000 }, () => 0),
    );
    expect(all.at(-1)).toBe(5);
    const none = { when: "always", maxRestarts: 2_000, backoffMs: [0, 5] } as const;
    expect(
      waits(
        none,
        Array.from({ length: 2_000 }, () => 0),
      ).at(-1),
    ).toBe(0);
    // a timer takes no more than that; a longer one would fire at once
    expect(waits({ when: "always", backoffMs: [2 ** 40, 2 ** 50] }, [0])).toEqual([2 ** 31 - 1]);
  });
});
