/** What runs here for one peer: its calls, streams and dialogs, each a task that the peer can cancel. */
import {
  asError,
  ContextCancelledError,
  FrameError,
  LimitError,
  TransportClosedError,
} from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import { logger } from "../../log.ts";
import type { Channel } from "../../channel/channel.ts";
import type { Limits } from "../../limits.ts";
import { sendValue, toWire } from "../../wire/encode.ts";
import { Kind, type MessageOf } from "../../wire/messages.ts";
import { readArguments, readValue } from "../../wire/values.ts";
import { ServedContext } from "./context.ts";
import type { Dispatcher } from "./dispatch.ts";
import { Inbox, Outbox } from "../flow.ts";
import { sendFailure } from "./failure.ts";
import { pump } from "./pump.ts";
import type { Permissions, Policy } from "../policy.ts";
import { Task, type TaskOrigin } from "../task.ts";
import { check, checkArguments, checkedCall, valueCheck } from "./validated.ts";

const log = logger("rpc");

/** One thing that runs. A call has neither outbox nor inbox, a stream has no inbox. */
interface Served {
  readonly task: Task;
  readonly outbox: Outbox | undefined;
  readonly inbox: Inbox | undefined;
}

/** What serving needs of its actor. */
export interface ServingHost {
  readonly id: ActorId;
  readonly dispatcher: Dispatcher;
  readonly limits: Limits;
  readonly policy: Policy;
  /** Aborted when the actor begins to end: what comes then is not begun. */
  readonly signal: AbortSignal;
}

/** The peer that is served. */
export interface ServedPeer extends TaskOrigin {
  readonly channel: Channel;
}

export class Serving {
  /** What the peer may do here. */
  permissions: Permissions;
  readonly #peer: ServedPeer;
  readonly #host: ServingHost;
  readonly #served = new Map<number, Served>();
  /** The call whose function runs at this moment, not yet in the list: most have returned before that was worth it. */
  #running: Task | undefined;
  /** Resolves at the next end of something that is served. */
  #servedEnd: PromiseWithResolvers<void> | undefined;

  constructor(peer: ServedPeer, host: ServingHost) {
    this.permissions = host.policy.permissionsOf(peer.proof);
    this.#peer = peer;
    this.#host = host;
  }

  get size(): number {
    return this.#running === undefined ? this.#served.size : this.#served.size + 1;
  }

  /** Bytes of messages that dialogs have not read. */
  get unreadBytes(): number {
    let bytes = 0;
    for (const { inbox } of this.#served.values()) bytes += inbox?.unreadBytes ?? 0;
    return bytes;
  }

  /** Aborts all of it, without ending the connection. */
  abort(reason: Error): void {
    for (const task of this.#tasks()) task.abort(reason);
  }

  /** Resolves when nothing runs any more, but for `except`: a task cannot wait for its own end. */
  async ended(except: Task | undefined): Promise<void> {
    while (this.#tasks().some((task) => task !== except)) {
      this.#servedEnd ??= Promise.withResolvers<void>();
      await this.#servedEnd.promise;
    }
  }

  onCancel(message: MessageOf<typeof Kind.cancel>): void {
    const reason = message[2] ?? undefined;
    this.#of(message[1])?.task.abort(new ContextCancelledError(this.#peer.id, reason));
  }

  onPut(message: MessageOf<typeof Kind.put>, bytes: number): void {
    this.#of(message[1])?.inbox?.push(readValue(message), bytes);
  }

  onPutEnd(message: MessageOf<typeof Kind.putEnd>): void {
    this.#of(message[1])?.inbox?.finish(undefined);
  }

  onAllowItems(message: MessageOf<typeof Kind.allowItems>): void {
    this.#of(message[1])?.outbox?.allow(message[2], message[3]);
  }

  /**
   * A call: its function runs at once, and an answer that is there at once leaves at once. There is no closure in here:
   * one would cost every call an environment (row `rpc.unix.64`).
   */
  onCall(message: MessageOf<typeof Kind.call>): void {
    const id = message[1];
    const name = message[2];
    const task = this.#admit(id);
    if (task === undefined) return;
    const args = readArguments(message);
    let result: unknown;
    let promise: Promise<unknown> | undefined;
    this.#running = task;
    try {
      const { fn, schemas } = this.#host.dispatcher.find(name, "run", this.permissions);
      result =
        schemas === undefined
          ? task.apply(fn, args)
          : task.apply(checkedCall, [fn, schemas, name, args, task]);
      promise = promiseOf(task, result);
    } catch (error) {
      this.#running = undefined;
      this.#fail(id, task, error);
      return;
    }
    this.#running = undefined;
    if (promise === undefined) this.#succeed(id, name, result);
    else this.#await(id, name, task, promise);
  }

  #await(id: number, name: string, task: Task, result: Promise<unknown>): void {
    this.#served.set(id, { task, outbox: undefined, inbox: undefined });
    result.then(
      (value) => this.#succeed(id, name, value),
      (error: unknown) => this.#fail(id, task, error),
    );
  }

  onStream(message: MessageOf<typeof Kind.stream>): void {
    const id = message[1];
    const name = message[2];
    const outbox = this.#itemOutbox(id, name);
    outbox.allow(message[5], message[6]);
    const task = this.#admit(id);
    if (task === undefined) return;
    this.#served.set(id, { task, outbox, inbox: undefined });
    const args = readArguments(message);
    void this.#conclude(id, name, task, async () => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "stream", this.permissions);
      return await task.run(async () => {
        const checked = await checkArguments(schemas, name, args);
        if (task.aborted) throw task.reason;
        return await pump(
          task,
          fn(...checked) as AsyncGenerator,
          outbox,
          valueCheck(schemas?.send, `value of ${name}`),
        );
      });
    });
  }

  onOpen(message: MessageOf<typeof Kind.open>): void {
    const id = message[1];
    const name = message[2];
    const { creditMessages: messages, creditBytes: bytes } = this.#host.limits;
    const { channel } = this.#peer;
    const outbox = this.#itemOutbox(id, name);
    outbox.allow(message[5], message[6]);
    const inbox = new Inbox(
      { messages, bytes },
      (more, moreBytes) => {
        if (this.#served.has(id)) channel.post([Kind.allowPuts, id, more, moreBytes]);
      },
      channel.buffered,
    );
    const task = this.#admit(id);
    if (task === undefined) return;
    this.#served.set(id, { task, outbox, inbox });
    channel.post([Kind.allowPuts, id, messages, bytes]);
    const args = readArguments(message);
    const context = new ServedContext(
      {
        self: this.#host.id,
        name,
        sendStarted: (started) => {
          const { value, rich } = toWire(started, "started value of", name);
          channel.send([Kind.started, id, value, rich]);
        },
        sendEnd: () => channel.post([Kind.itemEnd, id]),
      },
      task,
      this.#peer.id,
      inbox,
      outbox,
    );
    void this.#conclude(id, name, task, async () => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "open", this.permissions);
      context.useSchemas(schemas);
      return await task.run(async () => {
        const checked = await checkArguments(schemas, name, args);
        // cancelled before it began: the function would never hear of it
        if (task.aborted) throw task.reason;
        const result = await check(schemas?.result, await fn(context, ...checked), `result of ${name}`);
        if (task.aborted) throw task.reason;
        return result;
      });
    });
  }

  #itemOutbox(id: number, name: string): Outbox {
    const { channel } = this.#peer;
    return new Outbox(channel, (item) => sendValue(channel, Kind.item, id, item, "message of", name));
  }

  /** Begins to serve a request; undefined when the peer has too many in flight. */
  #admit(id: number): Task | undefined {
    if (this.#served.has(id)) throw new FrameError(`request id ${id} is in use`);
    const { limits, signal } = this.#host;
    const { maxCallsInFlight } = limits;
    if (signal.aborted) {
      this.#replyError(id, signal.reason);
      return undefined;
    }
    if (this.#served.size >= maxCallsInFlight) {
      const text = `${this.#served.size} calls in flight: maxCallsInFlight is ${maxCallsInFlight}`;
      this.#replyError(id, new LimitError(text));
      return undefined;
    }
    return new Task(this.#peer);
  }

  async #conclude(id: number, name: string, task: Task, work: () => Promise<unknown>): Promise<void> {
    let result: unknown;
    try {
      result = await work();
    } catch (error) {
      this.#fail(id, task, error);
      return;
    }
    this.#succeed(id, name, result);
  }

  #succeed(id: number, name: string, result: unknown): void {
    this.#end(id);
    const { channel } = this.#peer;
    if (!channel.isOpen) return;
    try {
      sendValue(channel, Kind.result, id, result, "result of", name);
    } catch (error) {
      log.debug?.(`result of ${name} for ${describeActor(this.#peer.id)}: ${asError(error).message}`);
      this.#replyError(id, error);
    }
  }

  /** An error that only says that the task was aborted is told as the reason of the abort. */
  #fail(id: number, task: Task, error: unknown): void {
    this.#end(id);
    this.#replyError(id, task.aborted && isAbortOf(task, error) ? task.reason : error);
  }

  #end(id: number): void {
    const served = this.#served.size > 0 ? this.#served.get(id) : undefined;
    if (served !== undefined) this.#served.delete(id);
    this.#servedEnd?.resolve();
    this.#servedEnd = undefined;
    // a context that is kept beyond its function cannot be used
    if (served?.outbox !== undefined)
      served.outbox.close(new TransportClosedError("the function has returned"));
  }

  #tasks(): Task[] {
    const tasks = Array.from(this.#served.values(), ({ task }) => task);
    return this.#running === undefined ? tasks : [...tasks, this.#running];
  }

  #of(id: number): Served | undefined {
    return this.#served.get(id);
  }

  #replyError(id: number, error: unknown): void {
    sendFailure(this.#peer.channel, id, error, this.#host.id);
  }
}

function isAbortOf(task: Task, error: unknown): boolean {
  try {
    return error === task.reason || (error instanceof Error && error.name === "AbortError");
  } catch {
    return false; // the name of a hostile one
  }
}

/**
 * What a function returned that has to be waited for. Only of a plain promise is it known that `then` calls back once, later,
 * and does not throw: any other thenable is asked as `await` would ask it, and as part of the task.
 */
function promiseOf(task: Task, result: unknown): Promise<unknown> | undefined {
  if ((typeof result !== "object" && typeof result !== "function") || result === null) return undefined;
  if (Object.getPrototypeOf(result) === Promise.prototype) return result as Promise<unknown>;
  if (!("then" in result) || typeof result.then !== "function") return undefined;
  return task.run(async () => await (result as unknown as PromiseLike<unknown>));
}
