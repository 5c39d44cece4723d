/** `furrow ping`: whether an actor answers, and how fast. */
import { asError } from "../../errors.ts";
import type { Registration } from "../../discovery/registration.ts";
import type { Address } from "../../transport/address.ts";
import { connectTo, findInstances } from "../actors.ts";
import type { Command, CommandContext, Terminal } from "../command.ts";
import { jsonDocument } from "../json.ts";
import { Latencies } from "../latencies.ts";
import { countOf, durationOf } from "../options.ts";
import { formatTable, optionsFor } from "../table.ts";
import { formatMs } from "../units.ts";

export const command: Command = {
  usage: "NAME[#UUID]",
  details: `Connects to each actor of that name and calls it N times, one after the other. DIAL is the time to connect; MIN, P50 and MAX
are those of the answers, which come from the actor's event loop: one that is busy answers late. LOST are those that didn't
come within --timeout.`,
  example: "furrow ping market -c 100",
  args: { min: 1, max: 1 },
  completes: "actors",
  options: {
    count: { type: "string", short: "c", value: "N", summary: "how many calls; default 3" },
    timeout: { type: "string", value: "TIME", summary: "how long to wait for each answer; default 1s" },
  },
  run: ping,
};

const columns = [
  { title: "NAME", shrinks: true },
  { title: "UUID" },
  { title: "PID", align: "right" },
  { title: "SENT", align: "right" },
  { title: "LOST", align: "right" },
  { title: "DIAL", align: "right" },
  { title: "MIN", align: "right" },
  { title: "P50", align: "right" },
  { title: "MAX", align: "right" },
  { title: "ADDR", shrinks: true },
] as const;

interface Pinged {
  readonly actor: Registration["id"];
  /** Null if it can't be connected to. */
  readonly addr: Address | null;
  readonly dialMs: number | null;
  readonly sent: number;
  readonly lost: number;
  readonly minMs: number | null;
  readonly p50Ms: number | null;
  readonly maxMs: number | null;
  /** Why it doesn't answer. */
  readonly error?: Error;
}

async function ping(context: CommandContext): Promise<number> {
  const { args, flags, signal, json, terminal } = context;
  const count = countOf(flags, "count", 3);
  const timeout = durationOf(flags, "timeout", "1s");
  await context.client();
  const actors = await findInstances(args[0] ?? "", signal);
  const pings = await Promise.all(actors.map((actor) => pingOne(actor, count, timeout, signal)));
  signal.throwIfAborted();
  if (json) await context.out(jsonDocument({ pings }));
  else await context.lines(table(pings, terminal));
  const errors = pings.flatMap(({ error }) => (error === undefined ? [] : [error]));
  return await context.failures(errors);
}

async function pingOne(
  actor: Registration,
  count: number,
  timeout: number,
  signal: AbortSignal,
): Promise<Pinged> {
  const latencies = new Latencies();
  let sent = 0;
  let addr: Address | null = null;
  let dialMs: number | null = null;
  let error: Error | undefined;
  try {
    const since = performance.now();
    await using portal = await connectTo(actor, { signal, timeout });
    dialMs = performance.now() - since;
    addr = portal.addr;
    const { run } = portal.with({ signal, timeout });
    while (sent < count) {
      const askedAt = performance.now();
      sent++;
      await run["furrow.ping"]().then(
        () => latencies.add(performance.now() - askedAt),
        (thrown: unknown) => (error ??= asError(thrown)),
      );
      signal.throwIfAborted();
    }
  } catch (thrown) {
    error = asError(thrown);
  }
  const isAnswered = latencies.count > 0;
  return {
    actor: actor.id,
    addr,
    dialMs,
    sent,
    lost: sent - latencies.count,
    minMs: isAnswered ? latencies.minMs : null,
    p50Ms: isAnswered ? latencies.quantileMs(0.5) : null,
    maxMs: isAnswered ? latencies.maxMs : null,
    ...(error && { error }),
  };
}

function table(pings: readonly Pinged[], terminal: Terminal): string[] {
  const time = (ms: number | null): string => (ms === null ? "-" : formatMs(ms));
  const rows = pings.map(({ actor, addr, dialMs, sent, lost, minMs, p50Ms, maxMs }) => [
    actor.name,
    actor.uuid.slice(0, 8),
    String(actor.pid),
    String(sent),
    lost === 0 ? "0" : terminal.style("red", String(lost)),
    ...[dialMs, minMs, p50Ms, maxMs].map(time),
    addr ?? "-",
  ]);
  return formatTable(columns, rows, optionsFor(terminal));
}
