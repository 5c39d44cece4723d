/**
 * One etcd cluster: the session to one of its servers, and another server when that one fails. Everything goes through one
 * session, so one late answer moves all of it.
 */
import { sleep } from "../deadline.ts";
import { asError, causeOf, StoreUnavailableError } from "../errors.ts";
import { logger } from "../log.ts";
import { decodeAuthenticate, encodeAuthenticate, methods } from "./messages.ts";
import { type CallBounds, Session, type SessionTls } from "./session.ts";
import {
  ConnectionError,
  LateError,
  isPassing,
  isServersFault,
  isTokenRefusal,
  Status,
  StatusError,
} from "./status.ts";
import { attemptMs, etcdTiming } from "./timing.ts";

const log = logger("discovery");
/** How long a call may take by default. */
export const defaultTimeoutMs: number = 5_000;

export interface ClientOptions {
  /** For messages. */
  readonly description: string;
  /** URLs. */
  readonly endpoints: readonly string[];
  /** Read for each connection, so that renewed certificates are used. */
  readonly readTls: () => SessionTls | undefined;
  readonly user?: { readonly name: string; readonly password: string } | undefined;
}

export interface CallOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called before it is asked again: what was asked before may still arrive. */
  readonly onRepeat?: (() => void) | undefined;
  /** Statuses that the caller handles; they are thrown as they are. */
  readonly expect?: readonly number[];
}

export class EtcdClient {
  readonly description: string;
  readonly #options: ClientOptions;
  readonly #ended = new AbortController();
  /** Which endpoint is next, or in use. Not all programs should use the first. */
  #at: number;
  #connecting: Promise<Session> | undefined;
  #session: Session | undefined;
  #token: string | undefined;
  /** The last failure of each endpoint since it last answered. */
  readonly #failures = new Map<string, Error>();
  /** One whose server takes no users. */
  #withoutUsers: Session | undefined;

  constructor(options: ClientOptions) {
    this.description = options.description;
    this.#options = options;
    this.#at = Math.floor(Math.random() * options.endpoints.length);
  }

  /**
   * Asks until there is an answer that `decode` can read, one server after the other. What is asked must be harmless to repeat.
   *
   * @throws {StatusError} with a status that `expect` lists
   * @throws {StoreUnavailableError} when the time is up, or the servers refuse; `cause` says why
   * @throws the signal's reason
   */
  async call<T>(
    path: string,
    message: Uint8Array,
    decode: (answer: Uint8Array) => T,
    options: CallOptions = {},
  ): Promise<T> {
    const { timeoutMs = defaultTimeoutMs, signal, onRepeat, expect = [] } = options;
    const until = performance.now() + timeoutMs;
    for (let tries = 0; ; tries++) {
      const left = until - performance.now();
      if (left <= 0) throw this.#late(timeoutMs);
      if (tries > 0) onRepeat?.();
      const patience = attemptMs(tries);
      const bounds = { timeoutMs: Math.min(left, patience), totalMs: left, isFair: left >= patience, signal };
      try {
        return await this.attempt(path, message, decode, bounds);
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof StatusError && expect.includes(error.status)) throw error;
        const mayKnowBetter = isServersFault(error) && tries + 1 < this.#options.endpoints.length;
        if (!isPassing(error) && !mayKnowBetter) throw this.#refused(error);
      }
      await this.pause(tries, signal, until - performance.now());
    }
  }

  /** As `call`, but only once. @throws {StatusError | ConnectionError} */
  async attempt<T>(
    path: string,
    message: Uint8Array,
    decode: (answer: Uint8Array) => T,
    bounds: CallBounds,
  ): Promise<T> {
    const session = await this.session(bounds);
    try {
      const answer = await this.#authorized(session, bounds, (token) =>
        session.call(path, message, token, bounds),
      );
      const decoded = readable(session, answer, decode);
      this.#failures.delete(session.endpoint);
      return decoded;
    } catch (error) {
      const isFault = isPassing(error) || isServersFault(error);
      if (isFault && !(error instanceof LateError)) this.leave(session, asError(error));
      throw error;
    }
  }

  /**
   * The session in use, or a new one.
   *
   * @throws {ConnectionError} when the next server can't be reached within the bounds
   * @throws the signal's reason
   */
  async session({ timeoutMs, signal }: CallBounds): Promise<Session> {
    this.#checkOpen();
    if (this.#session !== undefined && !this.#session.isOver) return this.#session;
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return within(this.#connecting, timeoutMs, signal);
  }

  /** Gives up a session whose server doesn't do its part. If there is only one server, and it answers, the session stays. */
  leave(session: Session, error: Error): void {
    this.#failures.set(session.endpoint, error);
    if (session.isOver || this.#options.endpoints.length > 1) session.destroy(error.message);
    if (session !== this.#session || !session.isOver) return;
    log.info?.(`left ${session.endpoint}: ${error.message}`);
    this.#session = undefined;
    this.#at = (this.#at + 1) % this.#options.endpoints.length;
  }

  /** What the server in use has sent makes no sense. */
  distrust(error: Error): void {
    if (this.#session !== undefined) this.leave(this.#session, error);
  }

  /** The token of our user for that session; asks for one if need be. */
  token(session: Session, bounds: CallBounds): Promise<string | undefined> {
    return this.#authorized(session, bounds, (token) => Promise.resolve(token));
  }

  /** Asks for a new token next time. */
  forgetToken(): void {
    this.#token = undefined;
  }

  /**
   * Waits before the next attempt: not as long as there is a server that wasn't tried yet.
   *
   * @throws {StoreUnavailableError} when the client is closed, or the signal's reason
   */
  async pause(tries: number, signal: AbortSignal | undefined, longestMs: number): Promise<void> {
    const round = Math.floor((tries + 1) / this.#options.endpoints.length);
    if (round === 0 || longestMs <= 0) return;
    const { pauseMs, longestPauseMs } = etcdTiming;
    const ms = Math.min(pauseMs * 2 ** (round - 1), longestPauseMs) * (0.5 + Math.random() / 2);
    const ends = signal === undefined ? this.#ended.signal : AbortSignal.any([signal, this.#ended.signal]);
    try {
      await sleep(Math.min(ms, longestMs), ends);
    } catch (error) {
      this.#checkOpen();
      throw error;
    }
  }

  /** Ends the session; calls that are under way fail. Idempotent. */
  close(): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#session?.destroy("the client was closed");
  }

  async #connect(): Promise<Session> {
    const endpoint = this.#options.endpoints[this.#at]!;
    const bounds = { timeoutMs: etcdTiming.attemptMs, signal: this.#ended.signal };
    try {
      const session = await Session.connect(endpoint, this.#options.readTls(), bounds);
      this.#session = session;
      return session;
    } catch (error) {
      this.#failures.set(endpoint, asError(error));
      this.#at = (this.#at + 1) % this.#options.endpoints.length;
      this.#checkOpen();
      throw error;
    }
  }

  /** Does `work` with our token; with a new one if the server doesn't take it. */
  async #authorized<T>(
    session: Session,
    bounds: CallBounds,
    work: (token: string | undefined) => Promise<T>,
  ): Promise<T> {
    if (this.#options.user === undefined || session === this.#withoutUsers) return work(undefined);
    const token = this.#token ?? (await this.#authenticate(session, bounds));
    try {
      return await work(token);
    } catch (error) {
      if (!isTokenRefusal(error)) throw error;
      return work(await this.#authenticate(session, bounds));
    }
  }

  async #authenticate(session: Session, bounds: CallBounds): Promise<string | undefined> {
    const { name, password } = this.#options.user!;
    try {
      const request = encodeAuthenticate(name, password);
      const answer = await session.call(methods.authenticate, request, undefined, bounds);
      this.#token = decodeAuthenticate(answer);
    } catch (error) {
      if (!(error instanceof StatusError) || error.status !== Status.failedPrecondition) throw error;
      log.warn?.(`${session.endpoint} takes no users: anyone can change the directory`);
      this.#withoutUsers = session;
      return undefined;
    }
    return this.#token;
  }

  #checkOpen(): void {
    if (this.#ended.signal.aborted) throw new StoreUnavailableError(`${this.description} is closed`);
  }

  #late(timeoutMs: number): StoreUnavailableError {
    const cause = causeOf(Array.from(this.#failures.values()));
    const why = cause === undefined ? "" : `: ${cause.message}`;
    return new StoreUnavailableError(
      `${this.description} didn't answer within ${Math.round(timeoutMs)} ms${why}`,
      {
        cause,
      },
    );
  }

  #refused(error: unknown): StoreUnavailableError {
    if (error instanceof StoreUnavailableError) return error;
    const cause = asError(error);
    return new StoreUnavailableError(`${this.description} refused: ${cause.message}`, { cause });
  }
}

/** @throws {ConnectionError} when it can't be read: another server may do better */
function readable<T>({ endpoint }: Session, answer: Uint8Array, decode: (answer: Uint8Array) => T): T {
  try {
    return decode(answer);
  } catch (error) {
    const text = `${endpoint} answered what etcd wouldn't: ${asError(error).message}`;
    throw new ConnectionError(text, { cause: error });
  }
}

/** Settles as `work` does, unless time or signal come first. */
async function within<T>(work: Promise<T>, timeoutMs: number, signal: AbortSignal | undefined): Promise<T> {
  // it may fail when nobody waits for it any more
  work.catch(() => {});
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(
    () => reject(new ConnectionError(`no connection within ${timeoutMs} ms`)),
    timeoutMs,
  );
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  work.then(resolve, reject);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
