/** `furrow doctor`: what is wrong, and what to do about it. */
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import type { Examination } from "../doctor/examine.ts";
import type { Finding } from "../doctor/finding.ts";
import { jsonDocument } from "../json.ts";
import { reportLines } from "../../discovery/report-text.ts";
import { RegistryUnavailableError } from "../../errors.ts";
import type { LookupReport, ReportedDial } from "../../lookup-report.ts";
import { formatTable, optionsFor } from "../table.ts";
import { formatMs } from "../units.ts";

const lookupTimeoutMs = 5_000;

export const command: Command = {
  usage: "[NAME]",
  details: `Looks at the registry addresses and who has them, at socket files that dead processes left, at the permissions of the
runtime directory and the secret, at actors that are frozen or run different versions, and at the limits of this host. It
changes nothing. With a NAME it also looks that up, connects to every actor of that name, and shows each registrar that was asked
and each address that was dialled, with its time. Exits with 0 if all is well, and with 1 if it found something, or no actor
of that name.`,
  example: "furrow doctor market",
  args: { min: 0, max: 1 },
  completes: "actors",
  options: {},
  run: doctor,
};

async function doctor(context: CommandContext): Promise<number> {
  const { args, json, registryAddrs, security, signal } = context;
  const { examine } = await import("../doctor/examine.ts");
  const found = await examine({ registryAddrs, signal, ...(security && { security }) });
  const { addresses, actors, findings } = found;
  const lookups = args[0] === undefined ? [] : await explain(args[0], context);
  if (json)
    await context.out(jsonDocument({ addresses, actors: actors.map(({ id }) => id), findings, lookups }));
  else await context.out(text(found, lookups, context));
  const isReached = lookups.every(({ candidates }) =>
    candidates.flatMap(({ dials }) => dials).some(isConnected),
  );
  return findings.length === 0 && isReached ? Exit.ok : Exit.failed;
}

/** What a lookup of the name does; nothing if there's no registrar, which is a finding. */
async function explain(name: string, context: CommandContext): Promise<LookupReport[]> {
  const { explainLookup } = await import("../../discovery/explain.ts");
  try {
    await context.client();
  } catch (error) {
    if (error instanceof RegistryUnavailableError) return [];
    throw error;
  }
  const { signal } = context;
  return [await explainLookup(name, { onlyFirst: false, signal, timeout: lookupTimeoutMs })];
}

function isConnected({ outcome }: ReportedDial): boolean {
  return outcome === "connected";
}

const columns = [
  { title: "ADDRESS", shrinks: true },
  { title: "STATE" },
  { title: "HOLDER", shrinks: true },
  { title: "PID", align: "right" },
  { title: "TIME", align: "right" },
] as const;

function text(
  { addresses, actors, findings }: Examination,
  lookups: readonly LookupReport[],
  { terminal }: CommandContext,
): string {
  const rows = addresses.map(({ addr, state, holder, pid, ms }) => [
    addr,
    state === "registrar" ? state : terminal.style("yellow", state),
    holder ?? "-",
    String(pid ?? "-"),
    formatMs(ms),
  ]);
  const table = formatTable(columns, rows, optionsFor(terminal));
  const count = `${actors.length} ${actors.length === 1 ? "actor" : "actors"}`;
  const sum = findings.length === 0 ? `${count}, all is well` : `${count}, ${findings.length} found`;
  const looked = lookups.flatMap((report) => [...reportLines(report), ""]);
  return [
    ...table,
    "",
    ...looked,
    ...findings.flatMap((finding) => [...describe(finding, terminal), ""]),
    sum,
    "",
  ].join("\n");
}

function describe({ level, what, which, whatToDo }: Finding, terminal: CommandContext["terminal"]): string[] {
  const mark = terminal.style(level === "error" ? "red" : "yellow", level);
  return [`${mark}: ${what}`, `  ${which}`, `  ${whatToDo}`];
}
