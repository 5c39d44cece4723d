/** Portals: the user's end of a session with another actor, or of calls to oneself. */
import { type Bounds, Deadline } from "../deadline.ts";
import { asError, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { copyOverWire } from "../wire/copy.ts";
import { Kind } from "../wire/messages.ts";
import type { Dispatcher } from "./dispatch.ts";
import { decodeFailure, encodeFailure } from "./remote-error.ts";
import type { Session } from "./session.ts";
import { Task } from "./task.ts";
import type { CallOptions, Portal, PortalClosed, PortalGroup, RunApi } from "./types.ts";

const defaultStopMs = 5_000;

/** Calls a function by name: what the two kinds of portals differ in. */
type Call = (name: string, args: unknown[]) => Promise<unknown>;

/** An object whose every string property is a function that calls it; made once for each name. */
function runApi<M>(call: Call): RunApi<M> {
  const made = new Map<string, (...args: unknown[]) => Promise<unknown>>();
  const handler: ProxyHandler<object> = {
    get(_, name) {
      // "then" would make `await portal.run` a call
      if (typeof name !== "string" || name === "then") return undefined;
      let fn = made.get(name);
      if (fn === undefined) made.set(name, (fn = (...args) => call(name, args)));
      return fn;
    },
  };
  return new Proxy(Object.freeze(Object.create(null) as object), handler) as RunApi<M>;
}

function boundsOf(options: CallOptions): Bounds | undefined {
  return options.signal === undefined && options.timeout === undefined ? undefined : options;
}

/** A portal to another actor. Holds its connection open until it is disposed. */
export class RemotePortal<M = unknown> implements Portal<M> {
  readonly id: ActorId;
  readonly addr: Address;
  readonly run: RunApi<M>;
  readonly closed: Promise<PortalClosed>;
  readonly #session: Session;
  readonly #prefix: string;
  readonly #own: { disposed: boolean; readonly closed: PromiseWithResolvers<PortalClosed> };

  /** Takes over one `acquire` of the session's peer. `prefix` goes before every function's name. */
  constructor(session: Session, prefix = "", options: CallOptions = {}, parent?: RemotePortal<M>) {
    const { peer } = session;
    this.id = peer.id;
    this.addr = peer.addr;
    this.#session = session;
    this.#prefix = prefix;
    // a portal made by `with` is the same one with other options
    this.#own =
      parent === undefined ? { disposed: false, closed: Promise.withResolvers<PortalClosed>() } : parent.#own;
    this.closed = this.#own.closed.promise;
    if (parent === undefined) void peer.closed.then((end) => this.#own.closed.resolve(end));
    const bounds = boundsOf(options);
    this.run = runApi<M>((name, args) =>
      this.#own.disposed
        ? Promise.reject(new TransportClosedError(`the portal to ${describeActor(this.id)} is closed`))
        : session.call(prefix + name, args, bounds),
    );
  }

  with(options: CallOptions): Portal<M> {
    return new RemotePortal<M>(this.#session, this.#prefix, options, this);
  }

  async cancelActor(options: { readonly timeout?: number } = {}): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), options.timeout ?? defaultStopMs);
    this.#session.request(Kind.stop).then(
      () => resolve(true),
      () => resolve(false), // gone, or going, without a word
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#own.disposed) return;
    this.#own.disposed = true;
    this.#own.closed.resolve({ reason: "closed" });
    this.#session.peer.release();
  }
}

/** What a `LocalPortal` needs of its actor. */
export interface LocalHost {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  cancel(): Promise<void>;
}

/**
 * A portal of an actor to itself: the same shape and verbs, the same checks of values and the same errors, and no
 * socket involved.
 */
export class LocalPortal<M = unknown> implements Portal<M> {
  readonly id: ActorId;
  readonly addr: Address;
  readonly run: RunApi<M>;
  readonly closed: Promise<PortalClosed>;
  readonly #host: LocalHost;
  readonly #prefix: string;

  constructor(host: LocalHost, prefix = "", options: CallOptions = {}) {
    this.id = host.id;
    this.addr = host.addrs[0] ?? `unix://${host.id.host}/unbound`;
    this.#host = host;
    this.#prefix = prefix;
    this.closed = endOf(host.signal);
    const bounds = boundsOf(options);
    this.run = runApi<M>((name, args) => callLocally(host, prefix + name, args, bounds));
  }

  with(options: CallOptions): Portal<M> {
    return new LocalPortal<M>(this.#host, this.#prefix, options);
  }

  async cancelActor(): Promise<boolean> {
    await this.#host.cancel();
    return true;
  }

  /** Does nothing: an actor is never out of its own reach, and all share this portal. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

function endOf(signal: AbortSignal): Promise<PortalClosed> {
  const { promise, resolve } = Promise.withResolvers<PortalClosed>();
  if (signal.aborted) resolve({ reason: "closed" });
  else signal.addEventListener("abort", () => resolve({ reason: "closed" }), { once: true });
  return promise;
}

async function callLocally(
  host: LocalHost,
  name: string,
  args: unknown[],
  bounds: Bounds | undefined,
): Promise<unknown> {
  const task = new Task(host.id);
  const copied = copyOverWire(args, `arguments of ${name}`) as unknown[];
  const run = async (): Promise<unknown> => {
    try {
      return copyOverWire(await host.dispatcher.run(task, name, copied), `result of ${name}`);
    } catch (error) {
      throw decodeFailure(encodeFailure(error, host.id), host.id);
    }
  };
  const onEnd = (): void => task.abort(asError(host.signal.reason));
  host.signal.addEventListener("abort", onEnd, { once: true });
  try {
    return await new Deadline(bounds ?? {}, `call of ${name}`).race("call", run());
  } catch (error) {
    task.abort(asError(error));
    throw error;
  } finally {
    host.signal.removeEventListener("abort", onEnd);
  }
}

/** The portals as one array that disposes all of them. */
export function portalGroup<M>(portals: Portal<M>[]): PortalGroup<M> {
  const dispose = async (): Promise<void> => {
    await Promise.all(portals.map((portal) => portal[Symbol.asyncDispose]()));
  };
  return Object.assign(portals, { [Symbol.asyncDispose]: dispose });
}
