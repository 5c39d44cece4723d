/** How an etcd server says that it didn't do something: a gRPC status. */

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
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** A server's refusal. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message === "" ? `etcd answered with gRPC status ${status}` : message);
    this.status = status;
  }
}

/** A server can't be reached, or has stopped answering: its session is over. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

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

/** Whether the server doesn't know our token, or not any more. */
export function isTokenRefusal(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  if (error.status === Status.unauthenticated) return true;
  return (
    error.message.includes("invalid auth token") || error.message.includes("revision of auth store is old")
  );
}
