/** One call of a service, from its first instance to its answer. */
import { type Bounds, Deadline } from "../deadline.ts";
import { TimeoutError, TransportClosedError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { type CallAnswer, NotRunError, type Waiting, withinBounds } from "../rpc/caller/calls.ts";
import type { Session } from "../rpc/session.ts";
import type { Task } from "../rpc/task.ts";
import { Attempts } from "./failure.ts";
import type { Instance } from "./instance.ts";

/** An instance, and the connection to it. */
export interface Placed {
  readonly instance: Instance;
  readonly session: Session;
}

/** What calls need of their service. */
export interface CallHost {
  readonly name: string;
  /** @throws what the service was closed with */
  checkOpen(): void;
  /** Chooses an instance of those that calls may go to. */
  choose(fn: string, args: readonly unknown[], except?: Instance): Instance | undefined;
  /**
   * Connects to that instance, or to another that it chooses, waiting for one while there is none.
   *
   * @throws {ActorNotFoundError} when there was none for `waitMs`
   * @throws {TimeoutError} with stage "wait", and the signal's reason, as `deadline` says
   */
  find(
    fn: string,
    args: readonly unknown[],
    deadline: Deadline,
    first: Instance | undefined,
    except?: Instance,
  ): Promise<Placed>;
  /** Why a call of this very actor would wait for its own end, if it would. */
  selfFault(): Error | undefined;
  /** Keeps an eye on the instances while something is in flight. */
  attend(): void;
}

/** The options of a call. */
export interface CallPlan {
  readonly bounds: Bounds | undefined;
  readonly isIdempotent: boolean;
}

/**
 * It receives its own answer: while all goes well, there is no promise but the caller's (row `service.call`).
 */
export class ServiceCall implements CallAnswer, Waiting {
  id = 0;
  sentTo = 0;
  readonly resolve: (value: unknown) => void;
  readonly host: CallHost;
  readonly #reject: (error: unknown) => void;
  readonly #fn: string;
  readonly #args: unknown[];
  readonly #isIdempotent: boolean;
  #instance: Instance | undefined;
  #session: Session | undefined;
  /** Made with the first failure. */
  #attempts: Attempts | undefined;
  /** While it looks for an instance. */
  #search: AbortController | undefined;

  constructor(
    host: CallHost,
    fn: string,
    args: unknown[],
    isIdempotent: boolean,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.resolve = resolve;
    this.host = host;
    this.#reject = reject;
    this.#fn = fn;
    this.#args = args;
    this.#isIdempotent = isIdempotent;
  }

  begin(): void {
    const { host } = this;
    try {
      host.checkOpen();
      const instance = host.choose(this.#fn, this.#args);
      const session = instance?.session;
      if (session === undefined) void this.#find(instance);
      else this.#send(instance!, session);
    } catch (error) {
      this.#reject(error);
    }
  }

  /** Called with what the instance answers, or when the connection to it ends. */
  reject(error: unknown): void {
    const instance = this.#instance!;
    const session = this.#session!;
    this.#session = undefined;
    this.#attempts ??= new Attempts(this.#fn, this.#isIdempotent);
    try {
      this.#attempts.goOn(error, instance, session);
      void this.#find();
    } catch (failure) {
      this.#reject(failure);
    }
  }

  /** Rejects with the reason; `word` tells the instance why. */
  giveUp(reason: unknown, word: string): void {
    this.#search?.abort(reason);
    this.#session?.giveUp(this, word);
    this.#reject(reason);
  }

  /** The error for a call that takes longer than `timeout`. */
  expired(timeout: number): TimeoutError {
    const session = this.#session;
    const { name } = this.host;
    return session === undefined
      ? new TimeoutError("wait", `call of ${this.#fn}: no instance of "${name}" within ${timeout} ms`)
      : new TimeoutError(
          "call",
          `call of ${this.#fn} on ${describeActor(session.peer.id)} took longer than ${timeout} ms`,
        );
  }

  /** The error for a call that is in flight when its service is closed. */
  cutShort(fault: unknown): unknown {
    if (this.#session === undefined || !(fault instanceof TransportClosedError)) return fault;
    const text = `${this.#fn} may have run on ${describeActor(this.#session.peer.id)}: ${fault.message}`;
    return new TransportClosedError(text, { cause: fault });
  }

  #send(instance: Instance, session: Session): void {
    const { host } = this;
    if (instance.isLocal) {
      const fault = host.selfFault();
      if (fault !== undefined) return this.#avoid(instance, fault);
    }
    this.#instance = instance;
    this.#session = session;
    host.attend();
    try {
      session.callFor(this.#fn, this.#args, this);
    } catch (error) {
      // nothing was sent
      if (error instanceof TransportClosedError) this.reject(new NotRunError(error));
      else this.#reject(error);
    }
  }

  /** Goes to any other instance than this very actor. */
  #avoid(self: Instance, fault: Error): void {
    if (this.host.choose(this.#fn, this.#args, self) === undefined) this.#reject(fault);
    else void this.#find(undefined, self);
  }

  async #find(first?: Instance, except?: Instance): Promise<void> {
    const search = (this.#search = new AbortController());
    const deadline = new Deadline({ signal: search.signal }, "search of an instance");
    try {
      const { instance, session } = await this.host.find(this.#fn, this.#args, deadline, first, except);
      this.#search = undefined;
      if (!search.signal.aborted) this.#send(instance, session);
    } catch (error) {
      this.#search = undefined;
      this.#reject(error);
    }
  }
}

/** A call with a signal or timeout, or within a task. */
export async function boundedCall(
  host: CallHost,
  fn: string,
  args: unknown[],
  { bounds, isIdempotent }: CallPlan,
  task: Task | undefined,
): Promise<unknown> {
  bounds?.signal?.throwIfAborted();
  if (task?.aborted) throw task.reason;
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const call = new ServiceCall(host, fn, args, isIdempotent, resolve, reject);
  const answer = withinBounds(promise, call, bounds, task);
  call.begin();
  return await answer;
}
