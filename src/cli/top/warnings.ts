/** What deserves attention, computed from what the actors tell. Pure. */
import type { Sample, StreamSample } from "../../inspect/sample.ts";

/** A reader that reads nothing for as long as this is behind. */
const stalledMs = 5_000;
/** An event loop that was blocked for as long as this makes every call late. */
const laggingMs = 250;

/** The warnings about one actor, the most serious first. `silentMs`: for how long it hasn't answered, if it hasn't. */
export function warningsAbout(
  name: string,
  sample: Sample | undefined,
  silentMs: number | undefined,
): string[] {
  if (silentMs !== undefined) return [`${name} hasn't answered for ${seconds(silentMs)}`];
  if (sample === undefined) return [];
  const { loop, streams, callsWaiting } = sample;
  return [
    ...(loop.lagMs >= laggingMs
      ? [`${name} was busy for ${Math.round(loop.lagMs)} ms, and answered nobody`]
      : []),
    ...streams.flatMap((stream) => stalled(name, stream)),
    ...(callsWaiting > 0 ? [`${callsWaiting} calls of ${name} wait for their turn`] : []),
  ];
}

function stalled(name: string, { waitsFor, waitedMs, peer, name: fn, side, credit }: StreamSample): string[] {
  if (waitedMs < stalledMs) return [];
  const what = side === "callee" ? `${name}.${fn}` : `what ${name} sends to ${fn}`;
  if (waitsFor === "credit") {
    const left = credit === null ? "" : ` (${credit.messages} messages of credit)`;
    return [`${peer.name} has read nothing from ${what} for ${seconds(waitedMs)}${left}`];
  }
  if (waitsFor === "link")
    return [`the connection from ${name} to ${peer.name} has taken nothing for ${seconds(waitedMs)}`];
  return [];
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
