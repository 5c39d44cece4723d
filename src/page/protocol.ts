/**
 * What the server and the page tell each other over the WebSocket: one JSON message in each frame. Types only, for both
 * sides. Counters travel, and the page computes rates. No argument, result or message of a stream is ever in any of these.
 */

/** A registered actor. */
export interface ActorInfo {
  readonly uuid: string;
  readonly name: string;
  readonly pid: number;
  /** The uuid of the actor that started it. */
  readonly parent: string | null;
  /** In milliseconds since 1970. */
  readonly startedAt: number;
  readonly version: string | null;
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
  readonly state: "ready" | "draining";
  readonly functions: readonly { readonly name: string; readonly verb: "run" | "stream" | "open" }[];
  readonly addrs: readonly string[];
}

/** A stream or dialog that is open, as one of its ends sees it. */
export interface StreamInfo {
  readonly name: string;
  readonly verb: "stream" | "open";
  readonly side: "callee" | "caller";
  readonly peer: { readonly name: string; readonly uuid: string };
  readonly sent: number;
  readonly received: number;
  /** What this end may still send; null where it doesn't send. */
  readonly credit: { readonly messages: number; readonly bytes: number } | null;
  readonly queued: number;
  readonly unread: number;
  readonly waitsFor: "credit" | "link" | "message" | null;
  readonly waitedMs: number;
  readonly ageMs: number | null;
}

/** One look at an actor: what the tree and the streams show of it. Counters only grow. */
export interface ActorSample {
  readonly uuid: string;
  /** By a clock of the actor that nobody sets: rates are differences over it. */
  readonly clockMs: number;
  /** Where the counters began, by the same clock: another value means that they began again. */
  readonly sinceMs: number;
  /** How often the actor is looked at. */
  readonly everyMs: number;
  readonly rssBytes: number;
  readonly cpuSeconds: number;
  readonly lagMs: number;
  readonly calls: number;
  readonly failed: number;
  /** How long calls took: a count for each of `bucketBounds`, and one for what took longer. */
  readonly buckets: readonly number[];
  readonly callsInFlight: number;
  readonly callsWaiting: number;
  readonly streams: readonly StreamInfo[];
}

/** A function of the selected actor. */
export interface FunctionInfo {
  readonly name: string;
  readonly verb: "run" | "stream" | "open";
  readonly calls: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly inFlight: number;
  readonly buckets: readonly number[];
}

/** The first message. */
export interface Hello {
  readonly type: "hello";
  readonly registryAddrs: readonly string[];
  readonly mayAct: boolean;
  readonly intervalMs: number;
}

/** Which actors are registered: all of them if `isWhole`, else what changed. */
export interface ActorsMessage {
  readonly type: "actors";
  readonly isWhole: boolean;
  readonly present: readonly ActorInfo[];
  readonly gone: readonly string[];
}

export interface SamplesMessage {
  readonly type: "samples";
  readonly samples: readonly ActorSample[];
}

/** A call that runs or waits for its turn; null: it began before anybody looked. */
export interface OldestCallInfo {
  readonly name: string;
  readonly ageMs: number | null;
}

/** More of the actor that the page has selected, with each of its samples. */
export interface DetailMessage {
  readonly type: "detail";
  readonly uuid: string;
  readonly clockMs: number;
  readonly sinceMs: number;
  /** Undefined where the actor's version doesn't tell. */
  readonly oldestCall?: OldestCallInfo | null;
  readonly functions: readonly FunctionInfo[];
}

/** What its parent knows of the selected actor. */
export interface ChildMessage {
  readonly type: "child";
  readonly uuid: string;
  /** How often its process was started again. */
  readonly restarts: number;
}

/** Something happened to an actor. */
export interface EventInfo {
  /** Grows by one with each; a page that was hidden gets some of them again. */
  readonly number: number;
  /** In milliseconds since 1970. */
  readonly at: number;
  readonly what: "started" | "ended" | "died" | "restarted" | "gave-up" | "draining";
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  /** How it died: "SIGKILL", "exit code 1". */
  readonly how?: string;
}

export interface EventsMessage {
  readonly type: "events";
  readonly events: readonly EventInfo[];
}

/** An actor can't be looked at, and why; null when it can again. */
export interface TroubleMessage {
  readonly type: "trouble";
  readonly uuid: string;
  readonly trouble: string | null;
}

/** The registry can't be watched, and why; null when it can again. */
export interface RegistryMessage {
  readonly type: "registry";
  readonly trouble: string | null;
}

/** How many actors are interested in each name, as they have looked it up or watch it; 0 for those that aren't there. */
export interface InterestsMessage {
  readonly type: "interests";
  readonly counts: readonly (readonly [name: string, count: number])[];
}

/** Lines that the selected actor wrote; `isFirst`: they replace those before. */
export interface LogMessage {
  readonly type: "log";
  readonly uuid: string;
  readonly isFirst: boolean;
  readonly lines: readonly LogLineInfo[];
  /** Why there are none. */
  readonly trouble?: string;
}

export interface LogLineInfo {
  readonly at: number;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

export type ServerMessage =
  | Hello
  | ActorsMessage
  | SamplesMessage
  | DetailMessage
  | ChildMessage
  | EventsMessage
  | TroubleMessage
  | RegistryMessage
  | InterestsMessage
  | LogMessage;

/** What the page shows: the only message that it sends. While it's hidden, nothing runs for it. */
export interface ShowMessage {
  readonly type: "show";
  readonly isVisible: boolean;
  /** The uuid of the actor that is selected. */
  readonly selected: string | null;
  /** Whether the log of the selected actor is shown. */
  readonly log: boolean;
  /** The uuids of the actors whose rows are in sight, or nearly: of many actors, these are looked at more often. */
  readonly inSight: readonly string[];
}

/** The body of `POST action`. */
export interface ActionRequest {
  readonly action: ActionName;
  readonly uuid: string;
}

export type ActionName = "stop" | "drain" | "restart";

/** Its answer. */
export interface ActionResult {
  readonly done: boolean;
  readonly message: string;
}
