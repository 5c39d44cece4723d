/**
 * Logging to stderr, off by default.
 *
 * `FURROW_LOG=debug` turns on every layer; `FURROW_LOG=discovery=debug,transport=warn` only these. A disabled level is
 * `undefined`, so that `log.debug?.(...)` doesn't evaluate its arguments.
 */
const levels = ["debug", "info", "warn", "error"] as const;
type Level = (typeof levels)[number];

/** The layers that log, named after their folders in `src/`. */
export type Layer = "transport" | "channel" | "rpc" | "actor" | "discovery" | "tree";
type Write = (message: string) => void;
export type Logger = { readonly [L in Level]: Write | undefined };

let actorName = "-";

/** Sets the actor name that appears in all further lines. */
export function setLogName(name: string): void {
  actorName = name;
}

/** The lowest level to print for `layer` with this setting, or undefined to print nothing. */
export function logLevel(setting: string | undefined, layer: Layer): Level | undefined {
  let level: Level | undefined;
  for (const part of (setting ?? "").split(",")) {
    const [left = "", right] = part.split("=").map((word) => word.trim());
    const name = right ?? left;
    if (right !== undefined && left !== layer) continue;
    level = levels.find((known) => known === name);
  }
  return level;
}

const silent: Logger = { debug: undefined, info: undefined, warn: undefined, error: undefined };

/** The logger of one layer. Reads `FURROW_LOG` when called. */
export function logger(layer: Layer): Logger {
  const setting = process.env["FURROW_LOG"];
  // every module that logs calls this at startup, often enough to be compiled: keep the usual path short (row `idle`)
  if (setting === undefined) return silent;
  const least = logLevel(setting, layer);
  const from = least === undefined ? levels.length : levels.indexOf(least);
  const at = (level: Level, index: number): Write | undefined =>
    index < from
      ? undefined
      : (message) => {
          process.stderr.write(
            `${new Date().toISOString()} ${level} ${actorName}[${process.pid}] ${layer}: ${message}\n`,
          );
        };
  return { debug: at("debug", 0), info: at("info", 1), warn: at("warn", 2), error: at("error", 3) };
}
