/**
 * The identity of an actor.
 *
 * Others look an actor up by `name`, which several actors may share. `uuid` identifies one run of one process and is
 * never reused. `host` (16 hex digits) distinguishes machines, and network or mount namespaces of one machine.
 */
export interface ActorId {
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  readonly host: string;
}

/** A short form for messages and logs: `quotes#1a2b3c4d`. */
export function describeActor({ name, uuid }: Pick<ActorId, "name" | "uuid">): string {
  return `${name}#${uuid.slice(0, 8)}`;
}

/** The form of the uuids that furrow makes; peers in other languages may use another. */
const groups = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-([0-9a-f]{12})$/;

/**
 * What stays of an actor's uuid when its nursery starts it again: the last group. It tells an actor from others of its
 * name as well as the whole uuid does. A uuid of another form is a place of its own.
 */
export function placeOf(uuid: string): string {
  return groups.exec(uuid)?.[1] ?? uuid;
}

/** The uuid of the next life of an actor, in the same place; that of a first life when there was none before. */
export function nextUuid(before: string | undefined): string {
  const uuid = crypto.randomUUID();
  const place = before === undefined ? undefined : groups.exec(before)?.[1];
  return place === undefined ? uuid : `${uuid.slice(0, -place.length)}${place}`;
}

/** The highest pid that any system gives. */
const mostPid = 0xffff_ffff;

/** What is wrong with a uuid from elsewhere, if anything is. */
export function uuidFault(uuid: string): string | undefined {
  return /^[\w-]{1,64}$/.test(uuid) ? undefined : "the uuid is malformed";
}

/** What is wrong with an identity from elsewhere, but for its name. */
export function idFault({ uuid, pid, host }: Omit<ActorId, "name">): string | undefined {
  if (!/^[A-Za-z0-9]{0,64}$/.test(host)) return "the host id is malformed";
  if (!Number.isInteger(pid) || pid < 0 || pid > mostPid) return "the pid is malformed";
  return uuidFault(uuid);
}

/** Reads an identity received from a peer; undefined if it isn't one. */
export function readActorId(form: unknown): ActorId | undefined {
  if (typeof form !== "object" || form === null) return undefined;
  const { name, uuid, pid, host } = form as Record<string, unknown>;
  if (
    typeof name !== "string" ||
    typeof uuid !== "string" ||
    typeof pid !== "number" ||
    typeof host !== "string"
  ) {
    return undefined;
  }
  return { name, uuid, pid, host };
}
