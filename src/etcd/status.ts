/** How an etcd server says that it didn't do something: a gRPC status. */

import { printable } from "../log.ts";

/** The codes of gRPC that matter here. */
export const Status = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** A server's refusal. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message === "" ? `etcd answered with gRPC status ${status}` : printable(message));
    this.status = status;
  }
}

/** A server can't be reached, or has stopped answering: its session is over. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** There was too little time to tell whether a server answers. */
export class LateError extends ConnectionError {}

/** Whether asking again, or another server, may help. What was asked may have been done. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  if (!(error instanceof StatusError)) return false;
  const { status, message } = error;
  return (
    status === Status.unavailable ||
    status === Status.deadlineExceeded ||
    // "too many requests"; the database being full is one too, and doesn't pass by itself
    (status === Status.resourceExhausted && !message.includes("database space"))
  );
}

/** Whether it's more likely this server's fault than that of what was asked: another one may do it. */
export function isServersFault(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  const { unknown, unimplemented, internal, dataLoss } = Status;
  return [unknown, unimplemented, internal, dataLoss].some((status) => status === error.status);
}

/** Whether the server doesn't know our token, or not any more. */
export function isTokenRefusal(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  if (error.status === Status.unauthenticated) return true;
  return (
    error.message.includes("invalid auth token") || error.message.includes("revision of auth store is old")
  );
}
