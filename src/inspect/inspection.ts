/** The built-in functions that look at an actor: `furrow.ping`, `furrow.describe` and `furrow.inspect`. */
import type { Runtime } from "../actor/runtime.ts";
import { sleep } from "../deadline.ts";
import type { ActorId } from "../identity.ts";
import type { BuiltIn } from "../rpc/callee/dispatch.ts";
import { currentTask, leaveUnattended } from "../rpc/task.ts";
import type { Description, Family } from "./describe.ts";
import type { Context } from "../rpc/types.ts";
import type { Sample } from "./sample.ts";
import type { TreeSamplesTypes } from "./tree-samples.ts";

/** How often an actor may be sampled, in milliseconds. */
const leastIntervalMs = 10;
const mostIntervalMs = 3_600_000;
const defaultIntervalMs = 1_000;

/** What `furrow.ping` answers. */
export interface Pong {
  readonly id: ActorId;
  /** By the actor's clock, in milliseconds since 1970. */
  readonly at: number;
}

/** What looks at an actor, as a type for portals to any: `Portal<Inspected>`. */
export interface Inspected {
  "furrow.ping"(): Pong;
  "furrow.describe"(): Promise<Description>;
  /** A sample at once, and then one every `intervalMs`, by default a second; later while the reader is behind. */
  "furrow.inspect"(intervalMs?: number): AsyncGenerator<Sample, void, undefined>;
}

export function inspection(runtime: Runtime, family: Family): Readonly<Record<string, BuiltIn>> {
  const { id } = runtime;
  return {
    ping: { fn: (): Pong => ({ id, at: Date.now() }) },
    describe: {
      fn: async (): Promise<Description> => {
        const { describeRuntime } = require("./describe.ts") as typeof import("./describe.ts");
        return await describeRuntime(runtime, family.children());
      },
    },
    samples: {
      fn: async (ctx: Context<TreeSamplesTypes>): Promise<void> => {
        const { serveTreeSamples } = require("./tree-samples.ts") as typeof import("./tree-samples.ts");
        await serveTreeSamples(runtime, family, ctx);
      },
    },
    inspect: {
      async *fn(intervalMs: unknown = defaultIntervalMs): AsyncGenerator<Sample, void, undefined> {
        const every = readInterval(intervalMs);
        const { signal } = currentTask();
        leaveUnattended();
        const { Measuring } = require("./measuring.ts") as typeof import("./measuring.ts");
        using reader = Measuring.of(runtime).open(every);
        for (;;) {
          yield reader.sample();
          await sleep(every, signal);
        }
      },
    },
  };
}

function readInterval(given: unknown): number {
  if (typeof given === "number" && given >= leastIntervalMs && given <= mostIntervalMs) return given;
  throw new RangeError(
    `furrow.inspect takes an interval from ${leastIntervalMs} to ${mostIntervalMs} ms, got ${String(given)}`,
  );
}
