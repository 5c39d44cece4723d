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
export function describeActor(id: ActorId): string {
  return `${id.name}#${id.uuid.slice(0, 8)}`;
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
