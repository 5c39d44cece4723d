/** `furrow bench`: how many calls an actor answers, and how fast. */
import { asError } from "../../errors.ts";
import { describeActor } from "../../identity.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonDocument } from "../json.ts";
import { Latencies } from "../latencies.ts";
import { countOf, durationOf } from "../options.ts";
import { formatTable, optionsFor } from "../table.ts";
import { portalTo, readCall } from "../target.ts";
import { formatMs } from "../units.ts";

export const command: Command = {
  usage: "NAME[#UUID].FN [ARG]...",
  details: `Calls a function of one actor over and over, with N calls under way at a time, and shows how long they took. The function
really runs each time. Ctrl-C shows what there is so far. Fails if the first call does, or any later one.`,
  example: "furrow bench market.getPrice BTC -c 16 -d 2s",
  args: { min: 1, max: Number.POSITIVE_INFINITY },
  completes: "functions",
  options: {
    concurrency: { type: "string", short: "c", value: "N", summary: "calls under way at a time; default 64" },
    duration: { type: "string", short: "d", value: "TIME", summary: "for how long; default 5s" },
  },
  run: bench,
};

const columns = [
  { title: "FUNCTION" },
  { title: "CALLS", align: "right" },
  { title: "ERRORS", align: "right" },
  { title: "CALLS/S", align: "right" },
  { title: "MEAN", align: "right" },
  { title: "P50", align: "right" },
  { title: "P99", align: "right" },
  { title: "MAX", align: "right" },
] as const;

async function bench(context: CommandContext): Promise<number> {
  const { args, flags, signal, json, terminal } = context;
  const { actor, fn, args: values } = readCall(args);
  const concurrency = countOf(flags, "concurrency", 64);
  const durationMs = durationOf(flags, "duration", "5s");
  await context.client();
  await using portal = await portalTo(actor, context);
  const call = (): Promise<unknown> => portal.run[fn](...values) as Promise<unknown>;
  await call(); // shows whether it can be called at all, and warms it up
  const round = new Round(call, durationMs, signal);
  await round.run(concurrency);
  const { latencies, errors, firstError, elapsedMs } = round;
  const measured = {
    actor: portal.id,
    function: fn,
    concurrency,
    elapsedMs,
    calls: latencies.count,
    errors,
    callsPerSecond: (latencies.count / elapsedMs) * 1_000,
    meanMs: latencies.meanMs,
    p50Ms: latencies.quantileMs(0.5),
    p99Ms: latencies.quantileMs(0.99),
    maxMs: latencies.maxMs,
  };
  if (json) await context.out(jsonDocument({ benches: [measured] }));
  else {
    const times = [measured.meanMs, measured.p50Ms, measured.p99Ms, measured.maxMs].map(formatMs);
    const counts = [measured.calls, errors, Math.round(measured.callsPerSecond)].map(String);
    const row = [`${describeActor(portal.id)}.${fn}`, ...counts, ...times];
    await context.lines(formatTable(columns, [row], optionsFor(terminal)));
  }
  if (firstError !== undefined) await context.error(firstError);
  return errors > 0 ? Exit.failed : Exit.ok;
}

/** Calls, until the time is over. */
class Round {
  readonly latencies: Latencies = new Latencies();
  errors = 0;
  firstError: Error | undefined;
  elapsedMs = 0;
  readonly #call: () => Promise<unknown>;
  readonly #durationMs: number;
  readonly #signal: AbortSignal;

  constructor(call: () => Promise<unknown>, durationMs: number, signal: AbortSignal) {
    this.#call = call;
    this.#durationMs = durationMs;
    this.#signal = signal;
  }

  async run(concurrency: number): Promise<void> {
    const since = performance.now();
    const endsAt = since + this.#durationMs;
    await Promise.all(Array.from({ length: concurrency }, () => this.#callUntil(endsAt)));
    this.elapsedMs = performance.now() - since;
  }

  async #callUntil(endsAt: number): Promise<void> {
    for (;;) {
      const since = performance.now();
      if (since >= endsAt || this.#signal.aborted) return;
      try {
        await this.#call();
        this.latencies.add(performance.now() - since);
      } catch (error) {
        if (this.#signal.aborted) return;
        this.errors++;
        this.firstError ??= asError(error);
      }
    }
  }
}
