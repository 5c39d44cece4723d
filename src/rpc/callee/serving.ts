/** Runs the calls, streams and dialogs of one peer, each as a task that the peer can cancel. */
import {
  type ActorDrainingError,
  asError,
  ContextCancelledError,
  FrameError,
  LimitError,
  TransportClosedError,
} from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import { logger } from "../../log.ts";
import type { Channel } from "../../channel/channel.ts";
import type { PeerProof } from "../../channel/credentials.ts";
import type { Limits } from "../../limits.ts";
import { sendValue, toWire } from "../../wire/encode.ts";
import { Kind, type MessageOf } from "../../wire/messages.ts";
import { readArguments, readValue } from "../../wire/received.ts";
import type { Dispatcher } from "./dispatch.ts";
import type { Inbox, Outbox } from "../flow.ts";
import { LongList } from "../long-list.ts";
import type { Gate } from "./gate.ts";
import type { Following, Observer, OpenExchange, ServedRequest } from "../observer.ts";
import type { Permissions, Policy } from "../policy.ts";
import { fireDraining, Task, type TaskOrigin } from "../task.ts";
import { check, checkArguments, checkedCall, valueCheck } from "./validated.ts";

const log = logger("rpc");

// loaded by the first failure, stream or dialog: a child starts sooner without them (row `spawn`)
let failures: typeof import("./failure.ts") | undefined;
let flows: typeof import("../flow.ts") | undefined;
let pumps: typeof import("./pump.ts") | undefined;
let contexts: typeof import("./context.ts") | undefined;

/** A bye lists at most so many unanswered requests. */
const maxListed = 1_000;

/** A running request. A call has neither outbox nor inbox; a stream has no inbox. */
interface Served {
  readonly name: string;
  readonly task: Task;
  readonly outbox: Outbox | undefined;
  readonly inbox: Inbox | undefined;
}

/** What serving needs from its actor. */
export interface ServingHost {
  readonly id: ActorId;
  readonly dispatcher: Dispatcher;
  readonly limits: Limits;
  readonly policy: Policy;
  /** Aborted when the actor begins to end. */
  readonly signal: AbortSignal;
  /** Why the actor drains, once it does. Not the error of the guard: functions may throw this one. */
  readonly drainReason: Error | undefined;
  /** Undefined while every request may run at once: one check for each. */
  readonly guard: Guard | undefined;
  /** Undefined while nobody looks at what runs: one check for each request. */
  readonly observer: Observer | undefined;
  /** How many requests run or wait for their turn, of all peers. Calls that return at once aren't counted. */
  served: number;
}

/** What stands between a request and its function in an actor that drains, is ending, or limits its concurrency. */
export interface Guard {
  /** Why requests are refused, if they are. No user code gets hold of this object, so nobody else can throw it. */
  readonly error: ActorDrainingError | undefined;
  /** Whether this request of `caller` is served nevertheless. */
  spares(caller: ActorId, name: string): boolean;
  /** Where requests wait for their turn. */
  readonly gate: Gate | undefined;
}

/** The peer whose requests run here. */
export interface ServedPeer extends Omit<TaskOrigin, "drainReason" | "permissions"> {
  readonly channel: Channel;
}

export class Serving implements TaskOrigin {
  /** What the peer may do here. */
  permissions: Permissions;
  readonly #peer: ServedPeer;
  readonly #host: ServingHost;
  readonly #served = new Map<number, Served>();
  /**
   * The call whose function is on the stack. It joins `#served` only if it returns a promise, which most calls don't.
   */
  #running: Task | undefined;
  /** Whether something has to be done after each request: one check for each. */
  #isFollowed = false;
  /** Resolves when the next request ends. */
  #servedEnd: PromiseWithResolvers<void> | undefined;
  /** The load that the peer was told last, if it has asked to hear of it. */
  #toldLoad: number | undefined;

  constructor(peer: ServedPeer, host: ServingHost) {
    this.permissions = host.policy.permissionsOf(peer.proof);
    this.#peer = peer;
    this.#host = host;
  }

  get id(): ActorId {
    return this.#peer.id;
  }

  get proof(): PeerProof {
    return this.#peer.proof;
  }

  get drainReason(): Error | undefined {
    return this.#host.drainReason;
  }

  get size(): number {
    return this.#running === undefined ? this.#served.size : this.#served.size + 1;
  }

  /** Bytes of messages that have arrived but that dialogs haven't read. */
  get unreadBytes(): number {
    let bytes = 0;
    for (const { inbox } of this.#served.values()) bytes += inbox?.unreadBytes ?? 0;
    return bytes;
  }

  /** The requests without an answer; undefined if they can't be told, or are too many to be listed in a message. */
  get unanswered(): readonly number[] | undefined {
    if (this.#running !== undefined || this.#served.size > maxListed) return undefined;
    return this.#served.size === 0 ? [] : Array.from(this.#served.keys());
  }

  /** Reports to the peer from now on how busy this actor is with others, along with its answers. */
  watchLoad(): void {
    if (this.#toldLoad !== undefined) return;
    this.#toldLoad = 0;
    this.#isFollowed = true;
    this.#tellLoad();
  }

  #tellLoad(): void {
    const load = this.#host.served - this.#served.size;
    if (load === this.#toldLoad) return;
    this.#toldLoad = load;
    this.#peer.channel.post([Kind.load, load]);
  }

  /** Aborts all running requests; the connection stays open. */
  abort(reason: Error): void {
    for (const task of this.#tasks()) task.abort(reason);
  }

  /** Tells everything that runs that the actor drains. */
  fireDraining(reason: Error): void {
    for (const task of this.#tasks()) fireDraining(task, reason);
  }

  /** The names of the functions that run or wait for their turn, except those of tasks that `isLeftOut` leaves out. */
  running(isLeftOut: (task: Task) => boolean): string[] {
    const names: string[] = [];
    for (const { name, task } of this.#served.values()) if (!isLeftOut(task)) names.push(name);
    return names;
  }

  /** The calls, streams and dialogs that run or wait for their turn, in the order in which they came. */
  requests(): Iterable<ServedRequest> {
    return this.#served.values();
  }

  /** The streams and dialogs that run. */
  *exchanges(): Generator<OpenExchange> {
    for (const { name, outbox, inbox } of this.#served.values()) {
      const verb = inbox === undefined ? "stream" : "open";
      if (outbox !== undefined) yield { side: "callee", verb, name, peer: this.#peer.id, outbox, inbox };
    }
  }

  /** Resolves when nothing runs any more, except what `isLeftOut` leaves out: a task can't wait for its own end. */
  async ended(isLeftOut: (task: Task) => boolean): Promise<void> {
    while (this.#tasks().some((task) => !isLeftOut(task))) {
      this.#servedEnd ??= Promise.withResolvers<void>();
      this.#isFollowed = true;
      await this.#servedEnd.promise;
    }
  }

  onCancel(message: MessageOf<typeof Kind.cancel>): void {
    const reason = message[2] ?? undefined;
    this.#of(message[1])?.task.abort(new ContextCancelledError(this.#peer.id, reason));
  }

  onPut(message: MessageOf<typeof Kind.put>, bytes: number): void {
    // also if no one reads it: see `Calls.onResult`
    const value = readValue(message, this.#peer.channel);
    this.#of(message[1])?.inbox?.push(value, bytes);
  }

  onPutEnd(message: MessageOf<typeof Kind.putEnd>): void {
    this.#of(message[1])?.inbox?.finish(undefined);
  }

  onAllowItems(message: MessageOf<typeof Kind.allowItems>): void {
    this.#of(message[1])?.outbox?.allow(message[2], message[3]);
  }

  /**
   * Runs the function of a call synchronously, and replies in the same turn if it doesn't return a promise. Contains no
   * closure: that would cost an environment for every call (row `rpc.unix.64`).
   */
  onCall(message: MessageOf<typeof Kind.call>): void {
    const id = message[1];
    const name = message[2];
    const task = this.#admit(message);
    if (task === undefined) return;
    const args = readArguments(message, this.#peer.channel);
    const { observer } = this.#host;
    if (observer !== undefined) {
      const following = observer.serves("run", name, this.#peer.id, undefined, message[5]);
      if (following !== undefined) {
        this.#callFollowed(id, name, task, args, following);
        return;
      }
    }
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

  /** The rest of `onCall`, while somebody looks. */
  #callFollowed(id: number, name: string, task: Task, args: unknown[], following: Following): void {
    const succeed = (value: unknown): void => {
      following.end();
      this.#succeed(id, name, value);
    };
    const fail = (error: unknown): void => {
      following.end({ error: outcomeOf(task, error) });
      this.#fail(id, task, error);
    };
    let result: unknown;
    let promise: Promise<unknown> | undefined;
    this.#running = task;
    try {
      const { fn, schemas } = this.#host.dispatcher.find(name, "run", this.permissions);
      result = following.run(() =>
        schemas === undefined
          ? task.apply(fn, args)
          : task.apply(checkedCall, [fn, schemas, name, args, task]),
      );
      promise = promiseOf(task, result);
    } catch (error) {
      this.#running = undefined;
      fail(error);
      return;
    }
    this.#running = undefined;
    if (promise === undefined) return succeed(result);
    this.#enter(id, { name, task, outbox: undefined, inbox: undefined });
    promise.then(succeed, fail);
  }

  /** What `work` becomes while somebody looks. */
  #followed(
    verb: "run" | "stream" | "open",
    { name, task, outbox, inbox }: Served,
    meta: unknown,
    work: () => Promise<unknown>,
  ): () => Promise<unknown> {
    const following = this.#host.observer?.serves(verb, name, this.#peer.id, { outbox, inbox }, meta);
    if (following === undefined) return work;
    return async () => {
      try {
        const result = await following.run(work);
        following.end();
        return result;
      } catch (error) {
        following.end({ error: outcomeOf(task, error) });
        throw error;
      }
    };
  }

  #await(id: number, name: string, task: Task, result: Promise<unknown>): void {
    this.#enter(id, { name, task, outbox: undefined, inbox: undefined });
    result.then(
      (value) => this.#succeed(id, name, value),
      (error: unknown) => this.#fail(id, task, error),
    );
  }

  /** As `onCall`, in an actor that limits its concurrency. */
  #callInTurn(message: MessageOf<typeof Kind.call>, task: Task, gate: Gate): void {
    const id = message[1];
    const name = message[2];
    const args = readArguments(message, this.#peer.channel);
    const served: Served = { name, task, outbox: undefined, inbox: undefined };
    this.#enter(id, served);
    const work = async (): Promise<unknown> => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "run", this.permissions);
      return await this.#inTurn(gate, task, async () =>
        schemas === undefined
          ? await task.apply(fn, args)
          : await task.apply(checkedCall, [fn, schemas, name, args, task]),
      );
    };
    void this.#conclude(id, name, task, this.#followed("run", served, message[5], work));
  }

  /** Runs `work` when its turn comes. If the actor begins to end first, the request is refused: it didn't run. */
  async #inTurn<T>(gate: Gate, task: Task, work: () => Promise<T>): Promise<T> {
    let isBegun = false;
    try {
      return await gate.run(task, () => {
        isBegun = true;
        return work();
      });
    } catch (error) {
      const { guard, signal } = this.#host;
      throw !isBegun && signal.aborted ? (guard?.error ?? error) : error;
    }
  }

  onStream(message: MessageOf<typeof Kind.stream>): void {
    const id = message[1];
    const name = message[2];
    const outbox = this.#itemOutbox(id, name);
    outbox.allow(message[5], message[6]);
    const task = this.#admit(message);
    if (task === undefined) return;
    const served: Served = { name, task, outbox, inbox: undefined };
    this.#enter(id, served);
    const args = readArguments(message, this.#peer.channel);
    const work = async (): Promise<unknown> => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "stream", this.permissions);
      const run = async (): Promise<unknown> => {
        const checked = await checkArguments(schemas, name, args);
        if (task.aborted) throw task.reason;
        pumps ??= require("./pump.ts") as typeof import("./pump.ts");
        return await pumps.pump(
          task,
          fn(...checked) as AsyncGenerator,
          outbox,
          valueCheck(schemas?.send, `value of ${name}`),
        );
      };
      const gate = this.#gateOf(name);
      return await (gate === undefined ? task.run(run) : this.#inTurn(gate, task, () => task.run(run)));
    };
    void this.#conclude(id, name, task, this.#followed("stream", served, message[7], work));
  }

  onOpen(message: MessageOf<typeof Kind.open>): void {
    const id = message[1];
    const name = message[2];
    const { creditMessages: messages, creditBytes: bytes } = this.#host.limits;
    const { channel } = this.#peer;
    const outbox = this.#itemOutbox(id, name);
    outbox.allow(message[5], message[6]);
    flows ??= require("../flow.ts") as typeof import("../flow.ts");
    const inbox = new flows.Inbox(
      { messages, bytes },
      (more, moreBytes) => {
        if (this.#served.has(id)) channel.post([Kind.allowPuts, id, more, moreBytes]);
      },
      channel.buffered,
    );
    const task = this.#admit(message);
    if (task === undefined) return;
    const served: Served = { name, task, outbox, inbox };
    this.#enter(id, served);
    channel.post([Kind.allowPuts, id, messages, bytes]);
    const args = readArguments(message, this.#peer.channel);
    contexts ??= require("./context.ts") as typeof import("./context.ts");
    const context = new contexts.ServedContext(
      {
        self: this.#host.id,
        name,
        sendStarted: (started) => {
          const { value, rich } = toWire(started, "started value of", name, channel);
          channel.send([Kind.started, id, value, rich]);
        },
        sendEnd: () => channel.post([Kind.itemEnd, id]),
      },
      task,
      this.#peer.id,
      inbox,
      outbox,
    );
    const work = async (): Promise<unknown> => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "open", this.permissions);
      context.useSchemas(schemas);
      const run = async (): Promise<unknown> => {
        const checked = await checkArguments(schemas, name, args);
        // cancelled before the function began, which therefore couldn't react to it
        if (task.aborted) throw task.reason;
        const result = await check(schemas?.result, await fn(context, ...checked), `result of ${name}`);
        if (task.aborted) throw task.reason;
        return result;
      };
      const gate = this.#gateOf(name);
      return await (gate === undefined ? task.run(run) : this.#inTurn(gate, task, () => task.run(run)));
    };
    void this.#conclude(id, name, task, this.#followed("open", served, message[7], work));
  }

  #itemOutbox(id: number, name: string): Outbox {
    const { channel } = this.#peer;
    flows ??= require("../flow.ts") as typeof import("../flow.ts");
    return new flows.Outbox(channel, (item) => sendValue(channel, Kind.item, id, item, "message of", name));
  }

  /**
   * Makes the task for a request. Undefined if there's nothing more to do: it was refused, since the actor drains or is
   * ending or too many are in flight; or it's a call that waits for its turn.
   */
  #admit(message: MessageOf<typeof Kind.call | typeof Kind.stream | typeof Kind.open>): Task | undefined {
    const id = message[1];
    if (this.#served.has(id)) throw new FrameError(`request id ${id} is in use`);
    const { limits, guard } = this.#host;
    const { maxCallsInFlight } = limits;
    if (guard?.error !== undefined && !guard.spares(this.#peer.id, message[2])) {
      // here and below: as in `Calls.onResult`
      readArguments(message, this.#peer.channel);
      this.#refuse(id, guard.error);
      return undefined;
    }
    if (this.#served.size >= maxCallsInFlight) {
      readArguments(message, this.#peer.channel);
      const text = `too many calls in flight: ${this.#served.size}, maxCallsInFlight is ${maxCallsInFlight}`;
      this.#replyError(id, new LimitError(text));
      return undefined;
    }
    const task = new Task(this);
    if (guard?.gate === undefined || message[0] !== Kind.call) return task;
    const gate = this.#gateOf(message[2]);
    if (gate === undefined) return task;
    this.#callInTurn(message, task, gate);
    return undefined;
  }

  /** Where a request for this function waits for its turn; the runtime's own functions don't. */
  #gateOf(name: string): Gate | undefined {
    const gate = this.#host.guard?.gate;
    return gate === undefined || this.#host.dispatcher.isOwn(name) ? undefined : gate;
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
    if (result instanceof LongList) return this.#sendParts(id, name, result);
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

  /** The request is served until all of the list has left. */
  #sendParts(id: number, name: string, list: LongList): void {
    let served = this.#served.get(id);
    if (served === undefined) {
      served = { name, task: new Task(this), outbox: undefined, inbox: undefined };
      this.#enter(id, served);
    }
    const { task } = served;
    const { channel } = this.#peer;
    const { sendInParts } = require("../parts.ts") as typeof import("../parts.ts");
    sendInParts(channel, this.#host.limits, list, {
      sendPart: (part) => {
        if (task.aborted) throw task.reason;
        const { value, rich } = toWire(part, "result of", name, channel);
        return channel.send([Kind.part, id, value, rich]);
      },
      sendLast: (part) => this.#succeed(id, name, part),
      fail: (error) => this.#fail(id, task, error),
    });
  }

  /** Replies with the error. */
  #fail(id: number, task: Task, error: unknown): void {
    this.#end(id);
    const refusal = this.#host.guard?.error;
    if (refusal !== undefined && error === refusal) {
      this.#refuse(id, refusal);
      return;
    }
    this.#replyError(id, outcomeOf(task, error));
  }

  #end(id: number): void {
    const served = this.#served.size > 0 ? this.#served.get(id) : undefined;
    if (served !== undefined) {
      this.#served.delete(id);
      this.#host.served--;
    }
    if (this.#isFollowed) this.#followUp();
    // a context kept after its function has returned can't be used
    if (served?.outbox !== undefined)
      served.outbox.close(new TransportClosedError("the function has returned"));
  }

  #enter(id: number, served: Served): void {
    this.#served.set(id, served);
    this.#host.served++;
  }

  #followUp(): void {
    this.#servedEnd?.resolve();
    this.#servedEnd = undefined;
    this.#isFollowed = this.#toldLoad !== undefined;
    if (this.#isFollowed) this.#tellLoad();
  }

  #tasks(): Task[] {
    const tasks = Array.from(this.#served.values(), ({ task }) => task);
    return this.#running === undefined ? tasks : [...tasks, this.#running];
  }

  #of(id: number): Served | undefined {
    return this.#served.get(id);
  }

  #refuse(id: number, refusal: ActorDrainingError): void {
    failures ??= require("./failure.ts") as typeof import("./failure.ts");
    failures.sendRefusal(this.#peer.channel, id, refusal, this.#host.id);
  }

  #replyError(id: number, error: unknown): void {
    failures ??= require("./failure.ts") as typeof import("./failure.ts");
    failures.sendFailure(this.#peer.channel, id, error, this.#host.id);
  }
}

/** What the caller gets for an error: if that merely passes on the abort of the task, the reason of the abort. */
function outcomeOf(task: Task, error: unknown): unknown {
  return task.aborted && isAbortOf(task, error) ? task.reason : error;
}

function isAbortOf(task: Task, error: unknown): boolean {
  try {
    return error === task.reason || (error instanceof Error && error.name === "AbortError");
  } catch {
    return false; // a hostile error whose `name` getter throws
  }
}

/**
 * The promise to wait for, if a function returned one. Only a plain promise is sure to call back once,
 * asynchronously, and not to throw in `then`; any other thenable is awaited as part of the task.
 */
function promiseOf(task: Task, result: unknown): Promise<unknown> | undefined {
  if ((typeof result !== "object" && typeof result !== "function") || result === null) return undefined;
  if (Object.getPrototypeOf(result) === Promise.prototype) return result as Promise<unknown>;
  if (!("then" in result) || typeof result.then !== "function") return undefined;
  return task.run(async () => await (result as unknown as PromiseLike<unknown>));
}
