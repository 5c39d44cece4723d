/** A nursery owns the processes started in it: none outlives its block. Modelled on those of trio and tractor. */
import { currentRuntime, hasRuntime, isBooting } from "../actor/current.ts";
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import { checkTimeout, sleep } from "../deadline.ts";
import { asError, ContextCancelledError, SpawnError, TransportClosedError } from "../errors.ts";
import { callerFrames, setStack } from "../frames.ts";
import { describeActor, nextUuid } from "../identity.ts";
import { logger } from "../log.ts";
import { Registrars } from "../discovery/registrars.ts";
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
import { checkCallOptions, describedBy, modulesOf, type StartOptions } from "./start-options.ts";
import { enter, enterNow, type Place } from "./starting.ts";

const log = logger("tree");

/** How long a child may take to register, unless `timeout` says otherwise. */
const startTimeoutMs = 10_000;
/** What a start without a timeout passes to its child as `startMs`: timers take 31 bits. */
const longestStartMs = 0x3fff_ffff;

/**
 * Owns child actors. Leaving its `await using` block cancels those that still run, and returns when all have been
 * reaped.
 */
export interface Nursery extends AsyncDisposable {
  /** Aborted when a child fails or the nursery is cancelled. */
  readonly signal: AbortSignal;
  /**
   * Starts an actor in a new process; resolves with a portal once it has registered.
   *
   * @throws {SpawnError} when it can't be started: `cause` is its own error, the message ends with its stderr
   * @throws {ActorNameError | AddressError | TypeError | LimitError} when an argument is malformed
   */
  startActor<M = unknown>(name: string, options: StartOptions): Promise<Portal<M>>;
  /**
   * Waits until every child has ended on its own.
   *
   * @throws the failure if one child failed; an `AggregateError` of all failures if several did
   */
  join(): Promise<void>;
  /**
   * Stops every child: by cancel message, then SIGTERM, then SIGKILL, each with its time limit. Resolves when all have
   * been reaped.
   */
  cancel(): Promise<void>;
}

/**
 * Opens a nursery. Boots a root actor if this process has none, and ends it with the nursery.
 *
 * @throws as `openRootActor`; `RuntimeExistsError` when options are given but there is already an actor
 */
export async function openNursery(options?: RootOptions): Promise<Nursery> {
  refuseUnguarded("open a nursery");
  // options are for booting a root: if there's already an actor, or one is booting, bootRoot rejects them
  const boots = !hasRuntime() || isBooting() || Object.keys(options ?? {}).length > 0;
  const runtime = boots ? await bootRoot(options ?? {}) : currentRuntime();
  return new ProcessNursery(runtime, boots);
}

class ProcessNursery implements Nursery {
  readonly #runtime: Runtime;
  readonly #ownsRuntime: boolean;
  readonly #controller = new AbortController();
  /** The running processes. A child that waits for its restart has none. */
  readonly #children = new Set<ChildProcess>();
  #supervised = 0;
  readonly #failures: Error[] = [];
  /** How many of the failures have been reported. */
  #told = 0;
  #closed = false;
  #changed = Promise.withResolvers<void>();
  readonly #undo: (() => void)[];

  constructor(runtime: Runtime, ownsRuntime: boolean) {
    this.#runtime = runtime;
    this.#ownsRuntime = ownsRuntime;
    this.#undo = [runtime.ending.at("children", () => this.#endWithActor())];
    // a nursery opened in a called function is cancelled with the call
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
    checkCallOptions(options);
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
    const { callTimeoutMs } = options;
    return new RemotePortal<M>(peer.acquire().handler, "", { callTimeoutMs });
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
    // stop() resolves when the process ends; its supervision finishes a moment later
    while (this.#supervised > 0) await this.#changed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.cancel();
    for (const undo of this.#undo.splice(0)) undo();
    nurseriesOf(this.#runtime).delete(this);
    if (this.#ownsRuntime) await this.#runtime.cancel();
    // don't report again what join() has reported
    const verdict = this.#failures.length > this.#told ? this.#verdict() : undefined;
    this.#told = this.#failures.length;
    if (verdict !== undefined) throw verdict;
  }

  /** The children that are up, in the order of their starts. */
  get started(): readonly ChildProcess[] {
    return Array.from(this.#children).filter((child) => child.hasStarted);
  }

  /** The actor's end cancels the nursery, and its log says for whom it waited. */
  async #endWithActor(): Promise<void> {
    const since = performance.now();
    for (const child of this.#children)
      void child.ended.then(() => this.#runtime.ending.noteWait(`child ${describeActor(child.id)}`, since));
    await this.cancel();
  }

  /** The child with this uuid, for routing its messages. */
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

  /** Waits until a process may start; see `starting.ts`. */
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
      // it may have been aborted just as it got the place
      signal?.throwIfAborted();
      this.#checkOpen(name);
    } catch (error) {
      place.leave();
      throw error;
    }
    return place;
  }

  /** `before`: the uuid of the process whose place it takes. */
  #spawn(name: string, options: StartOptions, startMs: number, before?: string): ChildProcess {
    const runtime = this.#runtime;
    const tree = treeSettings.of(runtime);
    const registrars = Registrars.of(runtime);
    const transports =
      options.enableTransports === undefined ? tree.transports : readTransports(options.enableTransports);
    const init = {
      ...tree,
      transports,
      name,
      uuid: nextUuid(before),
      parent: { name: runtime.name, uuid: runtime.uuid, addrs: runtime.addrs },
      startMs: Math.min(startMs, longestStartMs),
      ...describedBy(options, runtime.limits),
      modules: modulesOf(options),
      bindAddrs: readAddressOption("bindAddrs", options.bindAddrs ?? [], transports),
      registryAddrs: registrars.registryAddrs,
      registrars: registrars.targets(),
      // not this actor's own, which is among its settings
      concurrency: options.concurrency,
    };
    const output = options.output ?? "inherit";
    const child = outsideTasks(() => new ChildProcess(runtime, init, { env: options.env ?? {}, output }));
    this.#children.add(child);
    return child;
  }

  /** Follows a child and its replacements until the last one ends. A failure cancels its siblings. */
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
      // startActor itself reports a failed first start
      if (!first.hasStarted) break;
      child = await this.#replace(name, options, budget, failure, first.id.uuid);
    }
    this.#supervised--;
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  /** Restarts a child that has ended, as its restart policy says; returns undefined if it isn't started again. */
  async #replace(
    name: string,
    options: StartOptions,
    budget: RestartBudget,
    ended: Error | undefined,
    before: string,
  ): Promise<ChildProcess | undefined> {
    let failure = ended;
    for (;;) {
      const wait = budget.next(failure !== undefined, performance.now());
      if (wait === undefined) break;
      // the nursery is being cancelled; the child would have been restarted, so its end doesn't count as a failure
      if (this.signal.aborted) return undefined;
      log.info?.(`restarting "${name}" in ${wait} ms${failure ? `: ${failure.message}` : ""}`);
      try {
        await sleep(wait, this.signal);
        return await this.#restart(name, options, before);
      } catch (error) {
        if (this.signal.aborted) return undefined;
        // a failed start uses up a restart too
        failure = asError(error);
      }
    }
    if (failure !== undefined) this.#fail(failure);
    return undefined;
  }

  async #restart(name: string, options: StartOptions, before: string): Promise<ChildProcess> {
    const place = await this.#place(name, options.timeout ?? startTimeoutMs, undefined);
    try {
      const child = this.#spawn(name, options, place.leftMs, before);
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

  /** All failures as one error; a single failure is returned as itself. */
  #verdict(): Error | undefined {
    const [only, ...more] = this.#failures;
    if (only === undefined || more.length === 0) return only;
    const text = this.#failures.map(({ message }) => message).join("; ");
    return new AggregateError([...this.#failures], `${this.#failures.length} actors failed: ${text}`);
  }
}

const nurseries: Part<Set<ProcessNursery>> = new Part();

/** The open nurseries of an actor. The first call makes the actor route messages of its children. */
function nurseriesOf(runtime: Runtime): Set<ProcessNursery> {
  let open = nurseries.find(runtime);
  if (open === undefined) {
    open = new Set();
    nurseries.set(runtime, open);
    const all = open;
    runtime.drainChildren = async (deadline) => {
      const children = Array.from(all).flatMap(({ started }) => started);
      const uuids = children.map(({ id }) => id.uuid);
      await Promise.all(children.map((child) => child.drain(deadline.remainingMs, uuids)));
    };
    const childOf = (session: Session): ChildProcess | undefined => {
      // a child connects before anyone else can know its uuid: a later connection with its uuid isn't the child
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
      // it has registered with its parent's registrars
      session.peer.isVouched = true;
      child.onReady();
    });
    runtime.serve(Kind.stopping, (session, message) => childOf(session)?.onStopping(message[1]));
    runtime.serve(Kind.failed, (session, message) => childOf(session)?.onFailed(message[1]));
  }
  return open;
}
