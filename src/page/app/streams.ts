/** The streams and dialogs between all actors, each once though both ends tell of it. Pure. */
import type { ActorInfo, ActorSample, StreamInfo } from "../protocol.ts";

/** How many rows are made: those that wait longest. */
const maxRows = 500;

export interface StreamRow {
  readonly key: string;
  /** The caller. */
  readonly from: { readonly name: string; readonly uuid: string };
  /** The actor that serves it. */
  readonly to: { readonly name: string; readonly uuid: string };
  readonly name: string;
  readonly verb: "stream" | "open";
  /** Messages per second, in both directions; undefined until there are two samples. */
  readonly perSecond: number | undefined;
  /** How many messages the writer may still send. */
  readonly creditLeft: number | undefined;
  /** Messages that have arrived and aren't read. */
  readonly unread: number | undefined;
  readonly queued: number;
  /** Which side waits; "writer" for its reader, "link" for the kernel. */
  readonly waiting: "writer" | "reader" | "link" | undefined;
  readonly waitedMs: number;
  readonly ageMs: number | null;
}

/** The part of an actor's state that this needs. */
interface Known {
  readonly info: { peek(): ActorInfo };
  readonly ended: { peek(): unknown };
  readonly activity: {
    peek(): { readonly sample: ActorSample; readonly before: ActorSample | undefined } | undefined;
  };
}

/** Those that wait for a reader come first. */
export function streamRows(actors: ReadonlyMap<string, Known>): StreamRow[] {
  const rows: StreamRow[] = [];
  for (const [uuid, { info, ended, activity }] of actors) {
    const known = activity.peek();
    if (known === undefined || ended.peek() !== undefined) continue;
    const self = { name: info.peek().name, uuid };
    const before = byKey(known.before);
    for (const [key, stream] of byKey(known.sample)) {
      // its callee tells of it as well
      if (stream.side === "caller" && isLookedAt(actors, stream.peer.uuid)) continue;
      rows.push(rowOf(`${uuid} ${key}`, self, stream, before.get(key), known));
    }
  }
  markReaders(rows, actors);
  return rows
    .toSorted((one, other) => rank(other) - rank(one) || (one.key < other.key ? -1 : 1))
    .slice(0, maxRows);
}

function isLookedAt(actors: ReadonlyMap<string, Known>, uuid: string): boolean {
  const known = actors.get(uuid);
  return known !== undefined && known.ended.peek() === undefined && known.activity.peek() !== undefined;
}

/** By what stays the same from one sample to the next. */
function byKey(sample: ActorSample | undefined): Map<string, StreamInfo> {
  const found = new Map<string, StreamInfo>();
  for (const stream of sample?.streams ?? []) {
    const begun = stream.ageMs === null ? "" : Math.round((sample!.clockMs - stream.ageMs) / 10);
    const own = `${stream.side} ${stream.verb} ${stream.name} ${stream.peer.uuid} ${begun}`;
    let key = own;
    for (let more = 2; found.has(key); more++) key = `${own} ${more}`;
    found.set(key, stream);
  }
  return found;
}

function rowOf(
  key: string,
  self: StreamRow["from"],
  stream: StreamInfo,
  before: StreamInfo | undefined,
  known: { readonly sample: ActorSample; readonly before: ActorSample | undefined },
): StreamRow {
  const { name, verb, side, peer, credit, queued, unread, waitedMs, ageMs } = stream;
  const seconds = (known.sample.clockMs - (known.before?.clockMs ?? Number.NaN)) / 1_000;
  const moved = before && stream.sent + stream.received - before.sent - before.received;
  const [from, to] = side === "callee" ? [peer, self] : [self, peer];
  return {
    key,
    from,
    to,
    name,
    verb,
    perSecond: moved === undefined || !(seconds > 0) ? undefined : Math.max(0, moved) / seconds,
    creditLeft: credit?.messages,
    unread: side === "caller" ? unread : undefined,
    queued,
    waiting: waitingOf(stream),
    waitedMs: stream.waitsFor === null ? 0 : waitedMs,
    ageMs,
  };
}

function waitingOf({ waitsFor, side, verb }: StreamInfo): StreamRow["waiting"] {
  if (waitsFor === "credit") return side === "callee" || verb === "open" ? "writer" : undefined;
  if (waitsFor === "link") return "link";
  return waitsFor === "message" ? "reader" : undefined;
}

/** That its reader waits is known at the other end only, and certain only where there's one such stream between the two. */
function markReaders(rows: StreamRow[], actors: ReadonlyMap<string, Known>): void {
  for (const [at, row] of rows.entries()) {
    if (row.waiting !== undefined) continue;
    const ends = actors.get(row.from.uuid)?.activity.peek()?.sample.streams;
    const own = ends?.filter(
      ({ side, name, peer }) => side === "caller" && name === row.name && peer.uuid === row.to.uuid,
    );
    const [only] = own ?? [];
    if (own?.length !== 1 || only?.waitsFor !== "message") continue;
    rows[at] = { ...row, waiting: "reader", waitedMs: only.waitedMs };
  }
}

function rank({ waiting, waitedMs }: StreamRow): number {
  return waiting === "writer" || waiting === "link" ? waitedMs + 1 : 0;
}
