/** What it costs to be looked at: the same calls and streams while the live page is open, and while both sides trace. */
import { findActor, type Portal } from "../../src/index.ts";
import type * as actor from "../fixtures/actor.ts";
import { hasPage, startTracing } from "../harness/internals.ts";
import { type RaceRow, type Scene, serverOf } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { PageViewer } from "../raw/page-viewer.ts";
import { join, stackedContest } from "./contest.ts";
import { text } from "./rpc.ts";
import { readFlood } from "./stream.ts";

type Server = Portal<typeof actor>;

/** Turns what a row is about on and off; resolves when it holds at both sides. */
type Switch = (isOn: boolean) => Promise<void>;

/** What runs once with it, and once without. */
interface Load {
  readonly id: string;
  readonly what: string;
  readonly ratioOf?: RaceRow["ratioOf"];
  readonly calls?: number;
  readonly run: (server: Server) => Promise<void>;
}

const messages = 4_096;

const loads: readonly Load[] = [
  {
    id: "rpc.unix",
    what: "the call of rpc.unix",
    run: async (server) => {
      await server.run.echo(text);
    },
  },
  {
    id: "stream.small",
    what: "a message of stream.small",
    ratioOf: "throughput",
    calls: messages,
    run: (server) => readFlood(server, messages, 32),
  },
];

/** Long enough that the switch between two blocks doesn't take most of the time. */
const pace = { warmupCalls: 20_000, warmupMs: [600, 2_000], blockMs: 200, blocks: 6 } as const;

interface Way {
  readonly suffix: string;
  readonly what: string;
  skip(): string | undefined;
  open(stack: AsyncDisposableStack, scene: Scene, server: Server): Promise<Switch>;
}

const ways: readonly Way[] = [
  {
    suffix: "page",
    what: "while the live page is open and samples both sides",
    skip: () => (hasPage ? undefined : "this revision has no live page"),
    async open(stack, scene) {
      const [registry] = serverOf(scene).registryAddrs;
      if (registry === undefined) throw new Error("the server process has no registry address");
      const page = stack.use(await PageViewer.open(registry));
      return async (isOn) => {
        if (isOn) return await page.show(2);
        page.hide();
        // the streams of samples end a moment later
        await Bun.sleep(50);
      };
    },
  },
  {
    suffix: "traced",
    what: "while both sides record spans and durations with an OpenTelemetry SDK that exports to nowhere",
    skip: () => (startTracing === undefined ? "this revision has no furrow/otel" : undefined),
    async open(stack, _scene, server) {
      let own: AsyncDisposable | undefined;
      stack.defer(async () => await own?.[Symbol.asyncDispose]());
      return async (isOn) => {
        await server.run.trace(isOn);
        await own?.[Symbol.asyncDispose]();
        own = isOn ? await startTracing!() : undefined;
      };
    },
  },
];

function observedRow(load: Load, way: Way): RaceRow {
  const { id, what, run, calls = 1, ratioOf = "time" } = load;
  return {
    kind: "race",
    id: `${id}.${way.suffix}`,
    transport: "unix",
    what: `${what} ${way.what}`,
    baseline: `${what}, unobserved`,
    ratioOf,
    skip: () => way.skip(),
    server: {},
    pace,
    open: (scene) =>
      stackedContest(async (stack) => {
        stack.use(await join(scene));
        const server: Server = stack.use(await findActor<typeof actor>("server", { raiseOnNone: true }));
        const turn = await way.open(stack, scene, server);
        let current = false;
        const operation = (isOn: boolean): Operation => ({
          calls,
          async before() {
            if (current === isOn) return;
            await turn(isOn);
            current = isOn;
          },
          run: () => run(server),
        });
        return { subject: operation(true), baseline: operation(false) };
      }),
  };
}

export const observedRows: readonly RaceRow[] = ways.flatMap((way) =>
  loads.map((load) => observedRow(load, way)),
);
