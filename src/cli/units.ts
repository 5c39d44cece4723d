/** Durations and sizes, as people write and read them. Pure. */
import { UsageError } from "./exit.ts";

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * The milliseconds of "5s", "250ms", "1.5m", "2h" or "1d"; a number alone is in seconds.
 *
 * @throws {UsageError} when it is malformed; `what` names the option
 */
export function parseDuration(text: string, what: string): number {
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (number === undefined)
    throw new UsageError(`${what} must be a duration such as 5s, 250ms or 2m, got ${JSON.stringify(text)}`);
  return Number(number) * unitsMs[unit]!;
}

/** @throws {UsageError} when it isn't a whole number of at least `min`; `what` names the option */
export function parseCount(text: string, what: string, min = 1): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(count) && count >= min) return count;
  throw new UsageError(`${what} must be a whole number from ${min}, got ${JSON.stringify(text)}`);
}

/** How long something has lasted, in its largest unit: "5s", "12m", "3d". */
export function formatAge(ms: number): string {
  if (ms < 0) return "0s";
  if (ms < 2 * unitsMs["m"]!) return `${Math.floor(ms / 1_000)}s`;
  if (ms < 2 * unitsMs["h"]!) return `${Math.floor(ms / unitsMs["m"]!)}m`;
  if (ms < 2 * unitsMs["d"]!) return `${Math.floor(ms / unitsMs["h"]!)}h`;
  return `${Math.floor(ms / unitsMs["d"]!)}d`;
}

/** A latency with three digits or so: "0.21 ms", "14.3 ms", "2.10 s". */
export function formatMs(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}

/** "812K", "44M", "1.5G". */
export function formatBytes(bytes: number): string {
  if (bytes < 1_024) return `${bytes}B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  const scaled = bytes / 1_024 ** power;
  return `${scaled < 10 && power > 1 ? scaled.toFixed(1) : Math.round(scaled)}${"KMGT"[power - 1]}`;
}
