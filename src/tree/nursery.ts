/** A nursery owns the processes that are started in it: none outlives its block. After trio's and tractor's. */
import { currentRuntime, hasRuntime, isBooting } from "../actor/current.ts";
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import { checkTimeout, sleep } from "../deadline.ts";
import { asError, ContextCancelledError, SpawnError, TransportClosedError } from "../errors.ts";
import { callerFrames, setStack } from "../frames.ts";
import { logger } from "../log.ts";
import { Registries } from "../discovery/registries.ts";
import { RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { readTransports } from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { Kind } from "../wire/messages.ts";
import { refuseUnguarded } from "./modules.ts";
import { RestartBudget, readRestart } from "./restart.ts";
import { bootRoot } from "./root.ts";
import { ChildProcess } from "./child-process.ts";
import { readAddressOption, type RootOptions } from "./root-options.ts";
import { treeSettings } from "./settings.ts";
import { modulesOf, type StartOptions } from "./start-options.ts";
import { enter, enterNow, type Place } from "./starting.ts";

const log = logger("tree");

/** How long a child may take to be registered when `timeout` does not say. */
const startTimeoutMs = 10_000;
/** A start without a bound has this one in its child: timers take 31 bits. */
const longestStartMs = 0x3fff_ffff;

/** Owns child actors. Leaving its `await using` block cancels what still runs, and returns when all are reaped. */
export interface Nursery extends AsyncDisposable {
  /** Aborted when a child fails or the nursery is cancelled. */
  readonly signal: AbortSignal;
  /**
   * Starts an actor in a process of its own; resolves with a portal once it is registered.
   *
   * @throws {SpawnError} when it cannot be started: `cause` is its own error, the message ends with its stderr
   * @throws {ActorNameError | AddressError} when an argument is malformed
   */
  startActor<M = unknown>(name: string, options: StartOptions): Promise<Portal<M>>;
  /**
   * Waits until every child has ended by itself.
   *
   * @throws the failure, or an `AggregateError` of all of them, when children failed
   */
  join(): Promise<void>;
  /** Stops every child: cancel message, SIGTERM, SIGKILL, each with its bound. Resolves when all are reaped. */
  cancel(): Promise<void>;
}

/**
 * Opens a nursery. Boots a root actor when this process has none, and ends it with the nursery.
 *
 * @throws as `openRootActor`; `RuntimeExistsError` when options are given and there is an actor already
 */
export async function openNursery(options?: RootOptions): Promise<Nursery> {
  refuseUnguarded("open a nursery");
  // options are for a root: where there is one, or one is booting, they are refused with it
  const boots = !hasRuntime() || isBooting() || Object.keys(options ?? {}).length > 0;
  const runtime = boots ? await bootRoot(options ?? {}) : currentRuntime();
  return new ProcessNursery(runtime, boots);
}

class ProcessNursery implements Nursery {
  readonly #runtime: Runtime;
  readonly #ownsRuntime: boolean;
  readonly #controller = new AbortController();
  /** The processes that run; a child that waits for its restart has none. */
  readonly #children = new Set<ChildProcess>();
  #supervised = 0;
  readonly #failures: Error[] = [];
  /** How many of them somebody has been told of. */
  #told = 0;
  #closed = false;
  #changed = Promise.withResolvers<void>();
  readonly #undo: (() => void)[];

  constructor(runtime: Runtime, ownsRuntime: boolean) {
    this.#runtime = runtime;
    this.#ownsRuntime = ownsRuntime;
    this.#undo = [runtime.atEnd("children", () => this.cancel())];
    // a nursery that is opened in a called function ends with it when that is cancelled
    const task = ambientTask();
    if (task !== undefined) this.#undo.push(task.onAbort(() => void this.cancel()));
    nurseriesOf(runtime).add(this);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async startActor<M>(name: string, options: StartOptions): Promise<Portal<M>> {
    checkActorName(name);
    const budget = new RestartBudget(readRestart(options.restart));
    checkTimeout(options.timeout);
    options.signal?.throwIfAborted();
    this.#checkOpen(name);
    refuseUnguarded(`start actor "${name}"`, modulesOf(options), ambientTask() !== undefined);
    const timeout = options.timeout ?? startTimeoutMs;
    const place = enterNow(timeout) ?? (await this.#place(name, timeout, options.signal));
    let child: ChildProcess;
    try {
      child = this.#spawn(name, options, place.leftMs);
    } catch (error) {
      place.leave();
      throw error;
    }
    this.#supervised++;
    void this.#supervise(child, name, options, budget);
    try {
      await child.started(place.leftMs, options.signal);
    } catch (error) {
      place.leave();
      await child.stop();
      if (error instanceof SpawnError) setStack(error, callerFrames());
      throw error;
    }
    place.leave();
    const peer = this.#runtime.peers.get(child.id.uuid);
    if (peer === undefined) throw new TransportClosedError(`actor "${name}" ended as soon as it had started`);
    return new RemotePortal<M>(peer.acquire().handler);
  }

  async join(): Promise<void> {
    while (this.#supervised > 0) await this.#changed.promise;
    const verdict = this.#verdict();
    this.#told = this.#failures.length;
    if (verdict !== undefined) throw verdict;
  }

  async cancel(): Promise<void> {
    this.#controller.abort(new ContextCancelledError(this.#runtime.id, "the nursery was cancelled"));
    await Promise.all(Array.from(this.#children, (child) => child.stop()));
    // stop() resolves with the process; what follows its end is done a moment later
    while (this.#supervised > 0) await this.#changed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.cancel();
    for (const undo of this.#undo.splice(0)) undo();
    nurseriesOf(this.#runtime).delete(this);
    if (this.#ownsRuntime) await this.#runtime.cancel();
    // what join has told is not told again
    const verdict = this.#failures.length > this.#told ? this.#verdict() : undefined;
    this.#told = this.#failures.length;
    if (verdict !== undefined) throw verdict;
  }

  /** The child of that uuid, for its messages. */
  child(uuid: string): ChildProcess | undefined {
    for (const child of this.#children) if (child.id.uuid === uuid) return child;
    return undefined;
  }

  #checkOpen(name: string): void {
    if (this.#closed || this.signal.aborted || this.#runtime.signal.aborted) {
      throw new SpawnError(`cannot start actor "${name}": the nursery is closed`, {
        cause: this.signal.reason,
      });
    }
  }

  /** Waits until a process may be started; see `starting.ts`. */
  async #place(name: string, timeout: number, signal: AbortSignal | undefined): Promise<Place> {
    let place: Place;
    try {
      const both = signal === undefined ? this.signal : AbortSignal.any([signal, this.signal]);
      place = await enter(name, timeout, both);
    } catch (error) {
      signal?.throwIfAborted();
      this.#checkOpen(name);
      throw error;
    }
    try {
      // aborted in the moment in which it got the place
      signal?.throwIfAborted();
      this.#checkOpen(name);
    } catch (error) {
      place.leave();
      throw error;
    }
    return place;
  }

  #spawn(name: string, options: StartOptions, startMs: number): ChildProcess {
    const runtime = this.#runtime;
    const tree = treeSettings.of(runtime);
    const registries = Registries.of(runtime);
    const transports =
      options.enableTransports === undefined ? tree.transports : readTransports(options.enableTransports);
    const init = {
      ...tree,
      transports,
      name,
      uuid: crypto.randomUUID(),
      parent: { name: runtime.name, uuid: runtime.uuid, addrs: runtime.addrs },
      startMs: Math.min(startMs, longestStartMs),
      modules: modulesOf(options),
      bindAddrs: readAddressOption("bindAddrs", options.bindAddrs ?? [], transports),
      registryAddrs: registries.registryAddrs,
      registrars: registries.known(),
    };
    const output = options.output ?? "inherit";
    const child = outsideTasks(() => new ChildProcess(runtime, init, { env: options.env ?? {}, output }));
    this.#children.add(child);
    return child;
  }

  /** Follows a child, and those that take its place, to the last end. A failure cancels its siblings. */
  async #supervise(
    first: ChildProcess,
    name: string,
    options: StartOptions,
    budget: RestartBudget,
  ): Promise<void> {
    let child: ChildProcess | undefined = first;
    while (child !== undefined) {
      const failure = await child.ended;
      this.#children.delete(child);
      // a first start that failed is told by startActor
      if (!first.hasStarted) break;
      child = await this.#replace(name, options, budget, failure);
    }
    this.#supervised--;
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  /** The process that takes the place of one that has ended, by its restart policy; undefined when that was the end. */
  async #replace(
    name: string,
    options: StartOptions,
    budget: RestartBudget,
    ended: Error | undefined,
  ): Promise<ChildProcess | undefined> {
    let failure = ended;
    for (;;) {
      const wait = budget.next(failure !== undefined, performance.now());
      if (wait === undefined) break;
      // it would have come back, so its end is no failure of the nursery that is being cancelled
      if (this.signal.aborted) return undefined;
      log.info?.(`restarting "${name}" in ${wait} ms${failure ? `: ${failure.message}` : ""}`);
      try {
        await sleep(wait, this.signal);
        return await this.#restart(name, options);
      } catch (error) {
        if (this.signal.aborted) return undefined;
        // a start that failed counts as one more end
        failure = asError(error);
      }
    }
    if (failure !== undefined) this.#fail(failure);
    return undefined;
  }

  async #restart(name: string, options: StartOptions): Promise<ChildProcess> {
    const place = await this.#place(name, options.timeout ?? startTimeoutMs, undefined);
    try {
      const child = this.#spawn(name, options, place.leftMs);
      await child.started(place.leftMs, this.signal).catch(async (error: unknown) => {
        place.leave();
        await child.stop();
        this.#children.delete(child);
        throw error;
      });
      return child;
    } finally {
      place.leave();
    }
  }

  #fail(failure: Error): void {
    log.info?.(failure.message);
    this.#failures.push(failure);
    this.#controller.abort(failure);
    for (const sibling of this.#children) void sibling.stop();
  }

  /** All failures as one error: one alone is itself. */
  #verdict(): Error | undefined {
    const [only, ...more] = this.#failures;
    if (only === undefined || more.length === 0) return only;
    const text = this.#failures.map(({ message }) => message).join("; ");
    return new AggregateError([...this.#failures], `${this.#failures.length} actors failed: ${text}`);
  }
}

const nurseries: Part<Set<ProcessNursery>> = new Part();

/** The nurseries of an actor; the first one makes it hear its children. */
function nurseriesOf(runtime: Runtime): Set<ProcessNursery> {
  let open = nurseries.find(runtime);
  if (open === undefined) {
    open = new Set();
    nurseries.set(runtime, open);
    const childOf = (session: Session): ChildProcess | undefined => {
      // a child connects before anybody else can know its uuid: a later connection only claims it
      if (runtime.peers.get(session.peer.id.uuid)?.handler !== session) return undefined;
      for (const nursery of open ?? []) {
        const child = nursery.child(session.peer.id.uuid);
        if (child?.pid === session.peer.id.pid) return child;
      }
      return undefined;
    };
    runtime.watchReady((session) => {
      const child = childOf(session);
      if (child === undefined) return;
      // it is registered where its parent is
      session.peer.isVouched = true;
      child.onReady();
    });
    runtime.serve(Kind.stopping, (session) => childOf(session)?.onStopping());
    runtime.serve(Kind.failed, (session, message) => childOf(session)?.onFailed(message[1]));
  }
  return open;
}
