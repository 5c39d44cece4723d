/** What the doctor found: a value, for a table as well as for JSON. */

/** error: something doesn't work. warning: it works, but not as one would expect, or not for long. */
export type FindingLevel = "error" | "warning";

/** Stays the same between versions. */
export type FindingCode =
  | "no-registrar"
  | "registry-frozen"
  | "registry-busy"
  | "registry-silent"
  | "registry-elsewhere"
  | "registry-occupied"
  | "registry-refused"
  | "runtime-dir"
  | "secret"
  | "stale-sockets"
  | "unknown-sockets"
  | "actor-frozen"
  | "versions-differ"
  | "shared-memory"
  | "few-descriptors"
  | "descriptors-used-up";

export interface Finding {
  readonly code: FindingCode;
  readonly level: FindingLevel;
  /** In one sentence, without a full stop: "the registrar is frozen (state T)". */
  readonly what: string;
  /** The address, path, process or name concerned. */
  readonly which: string;
  /** In one sentence, without a full stop. */
  readonly whatToDo: string;
}

/** What to do about a stopped process. */
export function howToResume(pid: number | undefined): string {
  return `kill -CONT ${pid} lets it go on; kill -KILL ${pid} ends it`;
}
