/**
 * The runtime's log: off by default, on stderr as text or as JSON, or handed to the program.
 *
 * `FURROW_LOG=debug` turns on every layer; `FURROW_LOG=discovery=debug,transport=warn` only these. A disabled level is
 * `undefined`, so that `log.debug?.(...)` doesn't evaluate its arguments.
 */
const levels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof levels)[number];

/** The layers that log, named after their folders in `src/`. */
const layers = ["transport", "channel", "rpc", "actor", "discovery", "tree"] as const;
export type Layer = (typeof layers)[number];

type Write = (message: string) => void;
export type Logger = { readonly [L in LogLevel]: Write | undefined };

/** One entry of the log. */
export interface LogRecord {
  /** In milliseconds since 1970. */
  readonly time: number;
  readonly level: LogLevel;
  /** The name of this process's actor; null before it boots. */
  readonly actor: string | null;
  readonly uuid: string | null;
  readonly pid: number;
  readonly layer: Layer;
  readonly msg: string;
  /** What the running code belongs to, if it's traced: see `furrow/otel`. */
  readonly trace_id?: string;
  readonly span_id?: string;
}

/** The names are OpenTelemetry's for logs in JSON. */
export type LogTrace = Required<Pick<LogRecord, "trace_id" | "span_id">>;

/** What turns everything off, as leaving `FURROW_LOG` out does. */
const off = "off";
/** What `FURROW_LOG_FORMAT` may be. */
const formats: readonly (string | undefined)[] = [undefined, "", "text", "json"];

let actor: string | null = null;
let uuid: string | null = null;
const listeners = new Set<(record: LogRecord) => void>();
/** Whether nothing is logged: see `unlogged`. */
let isMuted = false;
/** Whether a listener is running: what it makes the runtime log isn't handed to it in turn. */
let isTelling = false;
let isJson = false;
/** What the running code belongs to. */
let trace: (() => LogTrace | undefined) | undefined;

/** One for each layer, for as long as the process runs: `onLog` turns levels on in modules that have theirs already. */
const loggers = Object.fromEntries(layers.map((layer) => [layer, silent()])) as Record<
  Layer,
  Record<LogLevel, Write | undefined>
>;
// most processes log nothing: keep their start short
if (process.env["FURROW_LOG"] !== undefined) configure();

/** The logger of one layer. */
export function logger(layer: Layer): Logger {
  return loggers[layer];
}

/** Sets the actor that all further records name. */
export function setLogActor(id: { readonly name: string; readonly uuid: string }): void {
  actor = id.name;
  uuid = id.uuid;
}

/** Adds to each record what `read` returns; returns an undo function. */
export function setLogTrace(read: () => LogTrace | undefined): () => void {
  trace = read;
  return () => (trace = undefined);
}

/**
 * Hands the log of this process to `fn` instead of printing it on stderr: the levels and layers that `FURROW_LOG` turns on,
 * or if it isn't set, `info` and above of every layer. With several listeners each gets every record.
 *
 * `fn` is called synchronously, wherever the runtime logs; return soon. If it throws, the record is printed after all. What the
 * runtime logs because of what `fn` does isn't handed to it.
 *
 * @returns a function that takes the listener back; after the last one, the log is printed again as `FURROW_LOG` says
 */
export function onLog(fn: (record: LogRecord) => void): () => void {
  // one that is registered twice is called twice
  const listener = (record: LogRecord): void => fn(record);
  listeners.add(listener);
  configure();
  return () => {
    listeners.delete(listener);
    configure();
  };
}

/** The lowest level to log for `layer` with this setting, or undefined to log nothing. */
export function logLevel(setting: string | undefined, layer: Layer): LogLevel | undefined {
  let level: LogLevel | undefined;
  for (const [known, name] of partsOf(setting)) {
    if (known !== undefined && known !== layer) continue;
    level = levels.find((one) => one === name);
  }
  return level;
}

/** A process's environment, or changes to it. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Says on stderr what is wrong with the log's variables in `env`: they would just not do what was meant. `where` begins each
 * message. A variable that has the same value in `reported` is left out.
 */
export function reportFaults(env: Environment, where = "", reported: Environment = {}): void {
  const { FURROW_LOG: setting, FURROW_LOG_FORMAT: format } = env;
  const faults = [
    ...(setting === reported["FURROW_LOG"] ? [] : settingFaults(setting)),
    ...(format === reported["FURROW_LOG_FORMAT"] || formats.includes(format)
      ? []
      : [`FURROW_LOG_FORMAT must be "text" or "json", got ${JSON.stringify(format)}: using text`]),
  ];
  for (const fault of faults) process.stderr.write(`furrow: ${where}${fault}\n`);
}

function settingFaults(setting: string | undefined): string[] {
  return partsOf(setting).flatMap(([layer, level]) => [
    ...(layer === undefined || layers.some((known) => known === layer)
      ? []
      : [`FURROW_LOG has the unknown layer "${layer}" (known: ${layers.join(", ")})`]),
    ...(level === "" || level === off || levels.some((known) => known === level)
      ? []
      : [`FURROW_LOG has the unknown level "${level}" (known: ${levels.join(", ")}, ${off})`]),
  ]);
}

/** The comma-separated parts of a setting, each as its layer, if it names one, and its level. */
function partsOf(setting = ""): (readonly [layer: string | undefined, level: string])[] {
  return setting.split(",").map((part) => {
    const [left = "", right] = part.split("=").map((word) => word.trim());
    return right === undefined ? [undefined, left] : [left, right];
  });
}

function silent(): Record<LogLevel, Write | undefined> {
  return { debug: undefined, info: undefined, warn: undefined, error: undefined };
}

/** Turns the levels on that are to be logged now, and the others off. */
function configure(): void {
  const setting = process.env["FURROW_LOG"] ?? (listeners.size > 0 ? "info" : undefined);
  isJson = process.env["FURROW_LOG_FORMAT"] === "json";
  for (const layer of layers) {
    const least = logLevel(setting, layer);
    const from = least === undefined ? levels.length : levels.indexOf(least);
    levels.forEach((level, index) => {
      loggers[layer][level] = index < from ? undefined : (msg) => log(level, layer, msg);
    });
  }
}

/** Runs `work`; nothing is logged until it has ended. */
export async function unlogged(work: () => Promise<void>): Promise<void> {
  isMuted = true;
  try {
    await work();
  } finally {
    isMuted = false;
  }
}

function log(level: LogLevel, layer: Layer, msg: string): void {
  if (isMuted) return;
  const { pid } = process;
  const record = Object.freeze({ time: Date.now(), level, actor, uuid, pid, layer, msg, ...trace?.() });
  if (listeners.size === 0) print(record);
  else if (!isTelling) tell(record);
}

function tell(record: LogRecord): void {
  isTelling = true;
  try {
    for (const listener of listeners) {
      try {
        listener(record);
      } catch (error) {
        print({ ...record, msg: `${record.msg} (a listener of onLog threw: ${String(error)})` });
      }
    }
  } finally {
    isTelling = false;
  }
}

function print(record: LogRecord): void {
  process.stderr.write(`${isJson ? asJson(record) : asText(record)}\n`);
}

function asJson(record: LogRecord): string {
  return JSON.stringify({ ...record, time: new Date(record.time).toISOString() });
}

function asText({ time, level, actor: name, pid, layer, msg }: LogRecord): string {
  return `${new Date(time).toISOString()} ${level} ${name ?? "-"}[${pid}] ${layer}: ${msg}`;
}

const maxForeignChars = 500;

/** Makes a text that comes from somewhere else safe for errors and logs: without control characters, and not too long. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  return text.slice(0, maxForeignChars).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}
