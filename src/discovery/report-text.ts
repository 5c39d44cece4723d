/** The report of a lookup as text, for a terminal. */
import { describeActor } from "../identity.ts";
import type { LookupReport, ReportedDial, ReportedRegistrar } from "../lookup-report.ts";

/** One line for the lookup, one for each registrar and each candidate, and one for each address. */
export function reportLines({ name, registrars, candidates, ms }: LookupReport): string[] {
  const count = candidates.length === 1 ? "1 actor" : `${candidates.length || "no"} actors`;
  return [
    `"${name}": ${count} of that name, ${shownMs(ms)}`,
    ...registrars.map((one) => `  registrar ${outcomeOf(one)}`),
    ...candidates.flatMap(({ id, source, dials }) => [
      `  ${describeActor(id)} (pid ${id.pid}), from the ${source}`,
      ...dials.map((one) => `    ${outcomeOf(one)}`),
    ]),
  ];
}

function outcomeOf({ addr, outcome, reason, ms }: ReportedDial | ReportedRegistrar): string {
  const time = ms > 0 ? ` (${shownMs(ms)})` : "";
  return `${addr} ${outcome}${time}${reason === undefined ? "" : `: ${reason}`}`;
}

function shownMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
