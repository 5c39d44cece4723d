/**
 * Logs on stderr, off by default.
 *
 * `FURROW_LOG=debug` turns every layer on; `FURROW_LOG=discovery=debug,transport=warn` some. A level that is off is
 * `undefined`, so `log.debug?.(...)` neither calls nor evaluates its arguments.
 */
const levels = ["debug", "info", "warn", "error"] as const;
type Level = (typeof levels)[number];

/** The layers that log, named as their folders in `src/`. */
export type Layer = "transport" | "channel" | "rpc" | "actor" | "discovery" | "tree";
type Write = (message: string) => void;
export type Logger = { readonly [L in Level]: Write | undefined };

let actorName = "-";

/** Names the actor of this process in every later line. */
export function setLogName(name: string): void {
  actorName = name;
}

/** The least level to print for `layer` under `setting`, or undefined for silence. */
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

/** The logger of one layer. Reads `FURROW_LOG` once. */
export function logger(layer: Layer): Logger {
  const setting = process.env["FURROW_LOG"];
  // every module that logs comes by here: what is called that often at the start is compiled (`idle`)
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
