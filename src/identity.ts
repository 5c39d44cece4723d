/**
 * Who an actor is.
 *
 * `name` is what others look up and may be shared by many; `uuid` is one life of one process and is never used
 * again; `host` tells machines, and network or mount namespaces of one machine, apart (16 hex digits).
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

/** An identity as it comes from a peer, or undefined when it is none. */
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
