/** `furrow doctor`: what is wrong, and what to do about it. */
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import type { Examination } from "../doctor/examine.ts";
import type { Finding } from "../doctor/finding.ts";
import { jsonDocument } from "../json.ts";
import { formatTable } from "../table.ts";
import { formatMs } from "../units.ts";

export const command: Command = {
  usage: "",
  details: `Looks at the registry addresses and who has them, at socket files that dead processes left, at the permissions of the
runtime directory and the secret, at actors that are frozen or run different versions, and at the limits of this host. It
changes nothing. Exits with 0 if all is well, and with 1 if it found something.`,
  example: "furrow doctor",
  options: {},
  run: doctor,
};

async function doctor(context: CommandContext): Promise<number> {
  const { json, registryAddrs, security, signal } = context;
  const { examine } = await import("../doctor/examine.ts");
  const found = await examine({ registryAddrs, signal, ...(security && { security }) });
  const { addresses, actors, findings } = found;
  if (json) await context.out(jsonDocument({ addresses, actors: actors.map(({ id }) => id), findings }));
  else await context.out(text(found, context));
  return findings.length === 0 ? Exit.ok : Exit.failed;
}

const columns = [
  { title: "ADDRESS", shrinks: true },
  { title: "STATE" },
  { title: "HOLDER", shrinks: true },
  { title: "PID", align: "right" },
  { title: "TIME", align: "right" },
] as const;

function text({ addresses, actors, findings }: Examination, { terminal }: CommandContext): string {
  const rows = addresses.map(({ addr, state, holder, pid, ms }) => [
    addr,
    state === "registrar" ? state : terminal.style("yellow", state),
    holder ?? "-",
    String(pid ?? "-"),
    formatMs(ms),
  ]);
  const header = (title: string): string => terminal.style("bold", title);
  const table = formatTable(columns, rows, { columns: terminal.columns, header });
  const count = `${actors.length} ${actors.length === 1 ? "actor" : "actors"}`;
  const sum = findings.length === 0 ? `${count}, all is well` : `${count}, ${findings.length} found`;
  return [...table, "", ...findings.flatMap((finding) => [...describe(finding, terminal), ""]), sum, ""].join(
    "\n",
  );
}

function describe({ level, what, which, whatToDo }: Finding, terminal: CommandContext["terminal"]): string[] {
  const mark = terminal.style(level === "error" ? "red" : "yellow", level);
  return [`${mark}: ${what}`, `  ${which}`, `  ${whatToDo}`];
}
