/**
 * The two ends of a one-way flow of messages with credit. Credit limits the messages and bytes that a writer may have
 * in flight; it gets more as the reader consumes them. So a slow reader slows its writer, and nothing else on the
 * connection.
 */
import { FrameError } from "../errors.ts";
import { largeBinaryBytes } from "../wire/large-binary.ts";
import { KeptBytes, mostKept } from "./kept.ts";

/** How many messages and bytes may be in flight. */
export interface Credit {
  readonly messages: number;
  readonly bytes: number;
}

/** When a link has this much unsent, writers wait even if they have credit. */
export const crowdedBytes = 1_048_576;

/** What a writer needs from its channel. */
export interface FlowChannel {
  flush(): void;
  readonly link: { readonly pendingBytes: number; drained(): Promise<void> };
}

/** Hears of writers that wait, while somebody looks. */
export interface StallObserver {
  /** The first value of the outbox has to wait. */
  began(outbox: Outbox): void;
  /** None waits any more. */
  ended(outbox: Outbox): void;
}

let stalls: StallObserver | undefined;

/** Calls `observer` from now on; undefined stops that. */
export function observeStalls(observer: StallObserver | undefined): void {
  stalls = observer;
}

/** A writer's side of a flow, as of now. */
export interface OutboxState {
  /** Messages sent so far. */
  readonly sent: number;
  /** Values that wait to be sent. */
  readonly queued: number;
  /** What the reader lets this side send. */
  readonly credit: Credit;
  /** What the queued values wait for: the reader, or the kernel, which takes no more bytes of this connection. */
  readonly waitsFor: "credit" | "link" | null;
}

/** A reader's side of a flow, as of now. */
export interface InboxState {
  /** Messages received so far. */
  readonly received: number;
  /** Those that haven't been read, and the bytes of their frames. */
  readonly unread: number;
  readonly unreadBytes: number;
  /** Whether somebody waits for the next one. */
  readonly isAwaited: boolean;
}

interface Waiting {
  readonly value: unknown;
  resolve(bytes: number): void;
  reject(reason: unknown): void;
}

/** The sending end. Starts without credit. */
export class Outbox {
  readonly #channel: FlowChannel;
  /** Sends one value; returns the bytes of its frame. */
  readonly #transmit: (value: unknown) => number;
  #messages = 0;
  #bytes = 0;
  /** All messages that it was ever allowed: with those still allowed, this tells how many were sent. */
  #allowed = 0;
  /** Values that wait for credit, in the order in which they were sent. */
  readonly #queue: Waiting[] = [];
  #closed: { readonly reason: unknown } | undefined;
  #awaitsDrain = false;

  constructor(channel: FlowChannel, transmit: (value: unknown) => number) {
    this.#channel = channel;
    this.#transmit = transmit;
  }

  /** Adds credit granted by the reader. */
  allow(messages: number, bytes: number): void {
    this.#messages += messages;
    this.#allowed += messages;
    this.#bytes += bytes;
    if (this.#queue.length > 0) this.#pump();
  }

  /**
   * Sends a value as soon as there is credit; values leave in the order of the calls. The value must not change until
   * the promise resolves; after that its memory may be reused.
   *
   * @throws the reason that the flow was closed with; {EncodeError | LimitError} when the value itself can't be sent
   */
  async send(value: unknown): Promise<void> {
    await this.offer(value);
  }

  /**
   * As `send`, but returns undefined if there is nothing to wait for.
   *
   * @throws as `send`: synchronously if the value could leave now, otherwise by rejecting the promise
   */
  offer(value: unknown): Promise<void> | undefined {
    if (!this.#isOpen) return this.#enqueue(value).then((bytes) => this.#held(bytes));
    return this.#held(this.#push(value));
  }

  /**
   * Sends a value only if it can leave without waiting; returns whether it did. The memory of a large binary value must
   * not change afterwards, because nothing signals when it has left.
   *
   * @throws as `send`
   */
  trySend(value: unknown): boolean {
    if (this.#closed !== undefined) throw this.#closed.reason;
    if (!this.#isOpen) return false;
    this.#push(value);
    return true;
  }

  /** The memory of a large binary isn't copied, so its writer has to wait until the kernel has taken it. */
  #held(bytes: number): Promise<void> | undefined {
    if (bytes < largeBinaryBytes) return undefined;
    const { link } = this.#channel;
    this.#channel.flush();
    return link.pendingBytes > 0 ? link.drained() : undefined;
  }

  /** Rejects all waiting and later sends. Only the first reason counts. */
  close(reason: unknown): void {
    if (this.#closed !== undefined) return;
    this.#closed = { reason };
    if (stalls !== undefined && this.#queue.length > 0) stalls.ended(this);
    for (const waiting of this.#queue.splice(0)) waiting.reject(reason);
  }

  get state(): OutboxState {
    const queued = this.#queue.length;
    return {
      sent: this.#allowed - this.#messages,
      queued,
      credit: { messages: this.#messages, bytes: this.#bytes },
      waitsFor: queued === 0 ? null : this.#hasCredit ? "link" : "credit",
    };
  }

  /** Whether a value can leave now. */
  get #isOpen(): boolean {
    return this.#closed === undefined && this.#queue.length === 0 && this.#hasCredit && !this.#isCrowded;
  }

  get #hasCredit(): boolean {
    return this.#messages > 0 && this.#bytes > 0;
  }

  get #isCrowded(): boolean {
    return this.#channel.link.pendingBytes >= crowdedBytes;
  }

  #enqueue(value: unknown): Promise<number> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed.reason);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#queue.push({ value, resolve, reject });
    this.#pump();
    if (stalls !== undefined && this.#queue.length === 1) stalls.began(this);
    return promise;
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#hasCredit) {
      if (this.#isCrowded) {
        this.#pumpWhenDrained();
        return;
      }
      const waiting = this.#queue.shift()!;
      try {
        waiting.resolve(this.#push(waiting.value));
      } catch (error) {
        waiting.reject(error);
      }
      if (stalls !== undefined && this.#queue.length === 0) stalls.ended(this);
    }
  }

  #pumpWhenDrained(): void {
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    void this.#channel.link.drained().then(() => {
      this.#awaitsDrain = false;
      this.#pump();
    });
  }

  #push(value: unknown): number {
    const bytes = this.#transmit(value);
    this.#messages--;
    this.#bytes -= bytes;
    return bytes;
  }
}

/** Keeps account of received bytes that are buffered until they are read. */
export interface Keeping {
  grew(bytes: number): void;
}

/** Replaces an item that has been read. */
const taken: Item = { value: undefined, bytes: 0 };
/** How many read items to drop from the list at once: copying the rest of the list for each item would cost more. */
const compactAt = 32;

interface Item {
  readonly value: unknown;
  readonly bytes: number;
}

/** The receiving end: holds what has arrived but hasn't been read. */
export class Inbox {
  readonly #credit: Credit;
  /** Grants the writer more credit. */
  readonly #grant: (messages: number, bytes: number) => void;
  readonly #keeping: Keeping | undefined;
  #items: Item[] = [];
  #head = 0;
  #unreadBytes = 0;
  /** Read but not yet granted again: grants are sent in batches of half the credit. */
  #readMessages = 0;
  #readBytes = 0;
  /** All messages that were granted again: with those yet to be granted, this tells how many were read. */
  #granted = 0;
  readonly #readers: PromiseWithResolvers<IteratorResult<unknown, unknown>>[] = [];
  #end: { readonly value: unknown } | { readonly error: unknown } | undefined;

  constructor(credit: Credit, grant: (messages: number, bytes: number) => void, keeping?: Keeping) {
    this.#credit = credit;
    this.#grant = grant;
    this.#keeping = keeping;
  }

  /** Bytes of memory used by what has arrived but hasn't been read. Looks at every item. */
  get unreadBytes(): number {
    const kept = new KeptBytes();
    for (let at = this.#head; at < this.#items.length; at++) {
      const { value, bytes } = this.#items[at]!;
      kept.add(value, bytes);
    }
    return kept.total;
  }

  get state(): InboxState {
    const unread = this.#items.length - this.#head;
    return {
      received: this.#granted + this.#readMessages + unread,
      unread,
      unreadBytes: this.#unreadBytes,
      isAwaited: this.#readers.length > 0,
    };
  }

  /** @throws {FrameError} when the peer sends more than it was granted */
  push(value: unknown, bytes: number): void {
    if (this.#end !== undefined) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value });
      this.#taken(bytes);
      return;
    }
    const unread = this.#items.length - this.#head;
    const { messages, bytes: most } = this.#credit;
    // the last message may be larger than the bytes that were left
    if (unread >= messages || this.#unreadBytes >= most) {
      throw new FrameError(`peer exceeded its credit: ${unread} messages, ${this.#unreadBytes} B unread`);
    }
    this.#items.push({ value, bytes });
    this.#unreadBytes += bytes;
    this.#keeping?.grew(mostKept(value, bytes));
  }

  /** Ends the flow: readers get what is unread, then `done` with `value`. */
  finish(value: unknown): void {
    this.#conclude({ value });
  }

  /** As `finish`, but with an error in place of the value. One read rejects with it; later reads are `done`. */
  fail(error: unknown): void {
    this.#conclude({ error });
  }

  /** Drops what is unread without granting credit for it. */
  drop(): void {
    this.#items = [];
    this.#head = 0;
    this.#unreadBytes = 0;
  }

  /** Takes an item that has already arrived, if there is one. */
  take(): Item | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head]!;
    // while the writer stays ahead the list never becomes empty: don't let it keep read values alive
    this.#items[this.#head++] = taken;
    if (this.#head === this.#items.length || this.#head >= compactAt) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.#unreadBytes -= item.bytes;
    this.#taken(item.bytes);
    return item;
  }

  next(): Promise<IteratorResult<unknown, unknown>> {
    const item = this.take();
    if (item !== undefined) return Promise.resolve({ done: false, value: item.value });
    if (this.#end !== undefined) return this.#atEnd();
    const reader = Promise.withResolvers<IteratorResult<unknown, unknown>>();
    this.#readers.push(reader);
    return reader.promise;
  }

  #conclude(end: { readonly value: unknown } | { readonly error: unknown }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const reader of this.#readers.splice(0)) this.#atEnd().then(reader.resolve, reader.reject);
  }

  #atEnd(): Promise<IteratorResult<unknown, unknown>> {
    const end = this.#end;
    // as with a generator, only one read gets the error or the return value
    this.#end = { value: undefined };
    if (end === undefined) return Promise.resolve({ done: true, value: undefined });
    return "error" in end ? Promise.reject(end.error) : Promise.resolve({ done: true, value: end.value });
  }

  #taken(bytes: number): void {
    this.#readMessages++;
    this.#readBytes += bytes;
    const { messages, bytes: most } = this.#credit;
    if (this.#end !== undefined) return;
    if (this.#readMessages * 2 < messages && this.#readBytes * 2 < most) return;
    this.#grant(this.#readMessages, this.#readBytes);
    this.#granted += this.#readMessages;
    this.#readMessages = this.#readBytes = 0;
  }
}
