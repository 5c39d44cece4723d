/** One watch on one server, from its begin until it fails. It proves every moment that it still works. */
import type { EtcdClient } from "./client.ts";
import type { Freshness } from "./freshness.ts";
import { decodeWatch, encodeProgress, encodeWatch, methods, type WatchAnswer } from "./messages.ts";
import type { Session, Stream } from "./session.ts";
import { ConnectionError, Status, StatusError } from "./status.ts";
import { etcdTiming } from "./timing.ts";

/** So many answers wait here, before the others wait at the server. */
const maxWaiting = 64;

export interface WatchRange {
  readonly from: Uint8Array;
  readonly end: Uint8Array;
  /** The first revision to be reported. */
  readonly start: number;
}

export interface Received {
  readonly answer: WatchAnswer;
  /** If it answers a progress request: when that was sent. All that had changed by then has been received. */
  readonly askedAt: number | undefined;
}

/** Yields what a server sends, until it is aborted. @throws when the server ends the watch, or falls silent */
export async function* watch(
  client: EtcdClient,
  range: WatchRange,
  freshness: Freshness,
  signal: AbortSignal,
): AsyncGenerator<Received> {
  const bounds = { timeoutMs: etcdTiming.attemptMs, signal };
  const session = await client.session(bounds);
  const token = await client.token(session, bounds);
  using open = new Watch(session, token, range, freshness, signal);
  try {
    yield* open.received();
  } catch (error) {
    // a token isn't good for ever, and a watch doesn't say that it's the reason
    if (error instanceof StatusError) client.forgetToken();
    if (!signal.aborted && error instanceof Error) client.leave(session, error);
    throw error;
  }
}

class Watch implements Disposable {
  readonly #session: Session;
  readonly #stream: Stream;
  readonly #freshness: Freshness;
  readonly #signal: AbortSignal;
  readonly #waiting: Received[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly error: Error | undefined } | undefined;
  #askedAt: number | undefined;
  #missing = 0;
  #heard = false;
  #timer: Timer;
  readonly #onAbort = (): void => this.#finish(undefined);

  constructor(
    session: Session,
    token: string | undefined,
    range: WatchRange,
    freshness: Freshness,
    signal: AbortSignal,
  ) {
    this.#session = session;
    this.#freshness = freshness;
    this.#signal = signal;
    this.#stream = session.open(methods.watch, token, {
      onMessage: (message) => this.#receive(decodeWatch(message)),
      onEnd: (error) => this.#finish(error ?? new ConnectionError("the server ended the watch")),
    });
    this.#stream.send(encodeWatch(range.from, range.end, range.start));
    this.#timer = setTimeout(() => this.#tick(), etcdTiming.firstProgressMs);
    this.#timer.unref();
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#finish(undefined);
  }

  async *received(): AsyncGenerator<Received> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        if (this.#waiting.length === maxWaiting - 1) this.#stream.resume();
        yield next;
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#stream.cancel();
  }

  #receive(answer: WatchAnswer): void {
    this.#heard = true;
    const { canceled, compacted, created, events, reason } = answer;
    if (canceled && compacted === 0) {
      this.#finish(new StatusError(Status.unavailable, `the server cancelled the watch: ${reason}`));
      return;
    }
    const isProgress = !created && !canceled && events.length === 0;
    const askedAt = isProgress ? this.#askedAt : undefined;
    if (isProgress) {
      this.#askedAt = undefined;
      this.#missing = 0;
    }
    this.#waiting.push({ answer, askedAt });
    if (this.#waiting.length === maxWaiting) this.#stream.pause();
    this.#wake?.();
  }

  /**
   * Asks for a sign of life, or counts one that is missing. It counts turns rather than time, because a process that was
   * stopped itself first has to read what has come meanwhile.
   */
  #tick(): void {
    const { progressMs, progressesMissing } = etcdTiming;
    if (this.#heard || this.#waiting.length > 0) this.#missing = 0;
    this.#heard = false;
    if (this.#askedAt === undefined) {
      this.#askedAt = performance.now();
      this.#stream.send(encodeProgress());
    } else if (++this.#missing >= progressesMissing) {
      this.#freshness.fail();
      this.#session.destroy("no sign of life on the watch");
      return;
    }
    this.#timer = setTimeout(() => this.#tick(), progressMs);
    this.#timer.unref();
  }

  #finish(error: Error | undefined): void {
    this.#end ??= { error };
    clearTimeout(this.#timer);
    this.#wake?.();
  }
}
