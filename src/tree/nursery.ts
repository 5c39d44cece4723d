/** A nursery owns the processes started in it: none outlives its block. Modelled on those of trio and tractor. */
import type { Peer } from "../channel/peer.ts";
import { currentRuntime, hasRuntime, isBooting } from "../actor/current.ts";
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import { checkTimeout } from "../deadline.ts";
import {
  ContextCancelledError,
  messagesOf,
  NameTakenError,
  SpawnError,
  TransportClosedError,
} from "../errors.ts";
import { callerFrames, setStack } from "../frames.ts";
import { describeActor } from "../identity.ts";
import { Registrars } from "../discovery/registrars.ts";
import { RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { readTransports } from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { Kind } from "../wire/messages.ts";
import { lineage, refuseUnguarded } from "./modules.ts";
import { readRestart } from "./restart.ts";
import { bootRoot } from "./root.ts";
import type { ChildEvent, ChildInfo } from "./child-events.ts";
import { ChildProcess } from "./child-process.ts";
import { checkLaunch } from "./launch.ts";
import { Member, type MemberPlan } from "./member.ts";
import {
  type CallArguments,
  callOnce,
  type CallResult,
  type FunctionName,
  type Started,
} from "./one-call.ts";
import { readAddressOption, type RootOptions } from "./root-options.ts";
import { treeSettings } from "./settings.ts";
import { encodeData, sendData } from "./start-data.ts";
import type { Starter } from "./find-or-start.ts";
import {
  checkCallOptions,
  describedBy,
  type HeldStartOptions,
  modulesOf,
  type StartOptions,
} from "./start-options.ts";
import { enter, enterNow, type Place } from "./starting.ts";
import { checkStrategy, type Strategy, Supervisor } from "./supervisor.ts";

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
   * @throws {NameTakenError} with `unique`, when another actor has the name; without it, when a unique one has
   * @throws {ActorNameError | AddressError | TypeError | LimitError} when an argument is malformed
   */
  startActor<M = unknown>(name: string, options: StartOptions): Promise<Portal<M>>;
  /** As below, without a type: takes and gives anything, as a portal without one does. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as for the results of an untyped portal
  run(module: string | URL, fn: string, ...args: readonly unknown[]): Promise<any>;
  /**
   * Starts an actor for one call, makes the call, and ends the actor; resolves with the call's result when the actor has been
   * reaped. Its name is `fn`. Give both type arguments: `nursery.run<typeof import("./primes.ts"), "count">(module,
   * "count", 10)`.
   *
   * The actor ends with its call, however that ends, and with the nursery. Whatever goes wrong is the caller's to handle, and not a
   * failed child.
   *
   * @throws as `startActor`, and as the call: `TransportClosedError` when the actor dies during the call (`cause`: how)
   */
  run<M, K extends FunctionName<M> = FunctionName<M>>(
    module: string | URL,
    fn: K,
    ...args: CallArguments<M, K>
  ): Promise<CallResult<M, K>>;
  /** The children, in the order of their first start, those that wait for a restart included. A snapshot. */
  readonly children: readonly ChildInfo[];
  /**
   * Everything that happens to the children from now on: `for await (const event of nursery.events())`. Ends when the nursery has
   * failed or was cancelled, and its children are reaped. A reader that leaves more than 1,024 events unread gets those, and then
   * a `LaggedError`.
   */
  events(): AsyncIterableIterator<ChildEvent>;
  /**
   * Finds the actor of that name as `findActor` does, or starts it: one process, however many ask at once, in any program
   * with the same first registry address. The process belongs to the nursery that has started it, and ends with that; the
   * portals of the others end then, too. `timeout` (default 10,000) includes the wait for the start by another program. If that
   * fails, or its program dies, the next one that asked starts the actor.
   *
   * @throws {SpawnError} when it was this nursery's turn to start it, and it can't be started
   * @throws {TimeoutError} when `timeout` passes while another program starts it, or when the actor or the registrar is
   *   silent; `stage` says in which step
   * @throws {RegistryUnavailableError} when there is no registrar to ask
   * @throws {ActorNameError | AddressError | TypeError | LimitError} when an argument is malformed
   */
  findOrStart<M = unknown>(name: string, options: StartOptions): Promise<Portal<M>>;
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

/** The options of `openNursery`: all but `strategy` are for booting a root. */
export interface NurseryOptions extends RootOptions {
  /**
   * Whose lives a child that fails shares: those of all its siblings, of none (`"one-for-one"`), or of the ones that were started
   * after it (`"rest-for-one"`). If it may be restarted, those are restarted with it; if not, they are ended. Default:
   * `"one-for-all"` for a failure that isn't restarted, while a restart concerns no siblings.
   */
  readonly strategy?: Strategy;
}

/**
 * Opens a nursery. Boots a root actor if this process has none, and ends it with the nursery.
 *
 * @throws as `openRootActor`; `RuntimeExistsError` when options other than `strategy` are given but there is already an
 *   actor
 * @throws {RangeError} when `strategy` is unknown
 */
export async function openNursery(options: NurseryOptions = {}): Promise<Nursery> {
  refuseUnguarded("open a nursery");
  const { strategy, ...rootOptions } = options;
  checkStrategy(strategy);
  // these are for booting a root: if there's already an actor, or one is booting, bootRoot rejects them
  const boots = !hasRuntime() || isBooting() || Object.keys(rootOptions).length > 0;
  const runtime = boots ? await bootRoot(rootOptions) : currentRuntime();
  return new ProcessNursery(runtime, boots, strategy);
}

class ProcessNursery implements Nursery {
  readonly #runtime: Runtime;
  readonly #ownsRuntime: boolean;
  readonly #controller = new AbortController();
  readonly #supervisor: Supervisor;
  /** How many of the failures have been reported. */
  #told = 0;
  #closed = false;
  readonly #undo: (() => void)[];

  constructor(runtime: Runtime, ownsRuntime: boolean, strategy: Strategy | undefined) {
    this.#runtime = runtime;
    this.#ownsRuntime = ownsRuntime;
    const host = {
      signal: this.signal,
      restart: (member: Member, signal: AbortSignal) => this.#restart(member, signal),
      abort: (failure: Error) => this.#controller.abort(failure),
    };
    this.#supervisor = new Supervisor(host, strategy);
    this.#undo = [runtime.ending.at("children", () => this.#endWithActor())];
    // a nursery opened in a called function is cancelled with the call
    const task = ambientTask();
    if (task !== undefined) this.#undo.push(task.onAbort(() => void this.cancel()));
    nurseriesOf(runtime).add(this);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get children(): readonly ChildInfo[] {
    return this.#supervisor.children;
  }

  events(): AsyncIterableIterator<ChildEvent> {
    return this.#supervisor.events.subscribe();
  }

  async startActor<M>(name: string, options: StartOptions): Promise<Portal<M>> {
    const data = this.#check(name, options);
    if (!options.unique) return await this.#open<M>(name, options, data);
    const { startUnique } = require("./find-or-start.ts") as typeof import("./find-or-start.ts");
    return await startUnique<M>(this.#starter(data), name, options, options.timeout ?? startTimeoutMs);
  }

  async findOrStart<M>(name: string, options: StartOptions): Promise<Portal<M>> {
    const data = this.#check(name, options);
    const { findOrStart } = require("./find-or-start.ts") as typeof import("./find-or-start.ts");
    return await findOrStart<M>(this.#starter(data), name, options, options.timeout ?? startTimeoutMs);
  }

  async run(module: string | URL, fn: string, ...args: readonly unknown[]): Promise<unknown> {
    const start = async (name: string): Promise<Started> => {
      const options = { module };
      return await this.#start({ name, options, isOneCall: true }, this.#check(name, options));
    };
    return await callOnce(start, fn, args, this.signal);
  }

  async join(): Promise<void> {
    await this.#supervisor.ended();
    const verdict = this.#verdict();
    this.#told = this.#supervisor.failures.length;
    if (verdict !== undefined) throw verdict;
  }

  async cancel(): Promise<void> {
    this.#controller.abort(new ContextCancelledError(this.#runtime.id, "the nursery was cancelled"));
    await this.#supervisor.stopAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.cancel();
    for (const undo of this.#undo.splice(0)) undo();
    nurseriesOf(this.#runtime).delete(this);
    if (this.#ownsRuntime) await this.#runtime.cancel();
    // don't report again what join() has reported
    const { failures } = this.#supervisor;
    const verdict = failures.length > this.#told ? this.#verdict() : undefined;
    this.#told = failures.length;
    if (verdict !== undefined) throw verdict;
  }

  /** The processes that are up, in the order of their first starts. */
  get started(): readonly ChildProcess[] {
    return this.#supervisor.members.flatMap(({ process }) => (process?.hasStarted ? process : []));
  }

  /** The actor's end cancels the nursery, and its log says for whom it waited. */
  async #endWithActor(): Promise<void> {
    const since = performance.now();
    for (const { process } of this.#supervisor.members)
      void process?.ended.then(() =>
        this.#runtime.ending.noteWait(`child ${describeActor(process.id)}`, since),
      );
    await this.cancel();
  }

  /** The member whose running process has this uuid, for routing its messages. */
  member(uuid: string): Member | undefined {
    for (const member of this.#supervisor.members) if (member.process?.id.uuid === uuid) return member;
    return undefined;
  }

  #starter(data: Uint8Array | undefined): Starter {
    return {
      runtime: this.#runtime,
      signal: this.signal,
      checkOpen: (name) => this.#checkOpen(name),
      start: async <M>(name: string, options: HeldStartOptions) => await this.#open<M>(name, options, data),
    };
  }

  async #open<M>(name: string, options: HeldStartOptions, data: Uint8Array | undefined): Promise<Portal<M>> {
    const { peer } = await this.#start({ name, options, isOneCall: false }, data);
    const { callTimeoutMs } = options;
    return new RemotePortal<M>(peer.acquire().handler, "", { callTimeoutMs });
  }

  async #start(plan: MemberPlan, data: Uint8Array | undefined): Promise<Started> {
    const { name, options } = plan;
    const member = new Member(plan, data);
    const timeout = options.timeout ?? startTimeoutMs;
    const place = enterNow(timeout) ?? (await this.#place(name, timeout, options.signal));
    let child: ChildProcess;
    try {
      this.#checkOpen(name); // its name may have been waited for
      child = this.#spawn(member, place.leftMs);
    } catch (error) {
      place.leave();
      throw error;
    }
    member.release = options.hold?.use();
    this.#supervisor.add(member);
    this.#supervisor.watch(member, child);
    try {
      await child.started(place.leftMs, options.signal);
    } catch (thrown) {
      place.leave();
      await member.stop();
      this.#supervisor.drop(member);
      const error = member.endedBy ?? thrown;
      if (error instanceof SpawnError || error instanceof NameTakenError) setStack(error, callerFrames());
      throw error;
    }
    place.leave();
    this.#supervisor.onStarted(member);
    const peer = this.#introduce(member, child);
    if (peer === undefined) throw new TransportClosedError(`actor "${name}" ended as soon as it had started`);
    return { member, child, peer };
  }

  /**
   * Checks everything about a start that can be known before there is a process. Returns the option `data`, encoded.
   *
   * @throws when an argument is malformed, or the nursery is closed
   */
  #check(name: string, options: StartOptions): Uint8Array | undefined {
    checkActorName(name);
    readRestart(options.restart);
    checkTimeout(options.timeout);
    checkCallOptions(options);
    checkLaunch(options);
    options.signal?.throwIfAborted();
    this.#checkOpen(name);
    refuseUnguarded(`start actor "${name}"`, modulesOf(options), ambientTask() !== undefined);
    return options.data === undefined ? undefined : encodeData(name, options.data, this.#runtime.limits);
  }

  /** The connection to a child that has just become ready; undefined if it has ended already. */
  #introduce(member: Member, { id }: ChildProcess): Peer<Session> | undefined {
    const peer = this.#runtime.peers.get(id.uuid);
    if (peer !== undefined) peer.channel.epitaph = () => member.epitaph(id);
    return peer;
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

  #spawn({ plan, data }: Member, startMs: number): ChildProcess {
    const { name, options } = plan;
    const runtime = this.#runtime;
    const tree = treeSettings.of(runtime);
    const registrars = Registrars.of(runtime);
    const transports =
      options.enableTransports === undefined ? tree.transports : readTransports(options.enableTransports);
    const init = {
      ...tree,
      transports,
      name,
      uuid: crypto.randomUUID(),
      parent: { name: runtime.name, uuid: runtime.uuid, addrs: runtime.addrs },
      startMs: Math.min(startMs, longestStartMs),
      ...describedBy(options, runtime.limits),
      modules: modulesOf(options),
      lineage: lineage(),
      hasData: data !== undefined,
      bindAddrs: readAddressOption("bindAddrs", options.bindAddrs ?? [], transports),
      registryAddrs: registrars.registryAddrs,
      registrars: registrars.targets(),
      // not this actor's own, which is among its settings
      concurrency: options.concurrency,
      ...(options.hold && { hold: options.hold.form }),
    };
    return outsideTasks(() => new ChildProcess(runtime, init, options));
  }

  async #restart(member: Member, signal: AbortSignal): Promise<void> {
    const { name, options } = member.plan;
    const place = await this.#place(name, options.timeout ?? startTimeoutMs, signal);
    try {
      const child = this.#spawn(member, place.leftMs);
      this.#supervisor.watch(member, child);
      await child.started(place.leftMs, signal);
      this.#introduce(member, child);
    } catch (error) {
      place.leave();
      await member.stop();
      throw error;
    } finally {
      place.leave();
    }
  }

  /** All failures as one error; a single failure is returned as itself. */
  #verdict(): Error | undefined {
    const { failures } = this.#supervisor;
    const [only, ...more] = failures;
    if (only === undefined || more.length === 0) return only;
    return new AggregateError([...failures], `${failures.length} actors failed: ${messagesOf(failures)}`);
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
    const memberOf = (session: Session): Member | undefined => {
      // a child connects before anyone else can know its uuid: a later connection with its uuid isn't the child
      if (runtime.peers.get(session.peer.id.uuid)?.handler !== session) return undefined;
      for (const nursery of open ?? []) {
        const member = nursery.member(session.peer.id.uuid);
        if (member?.process?.pid === session.peer.id.pid) return member;
      }
      return undefined;
    };
    const childOf = (session: Session): ChildProcess | undefined => memberOf(session)?.process;
    runtime.watchReady((session) => {
      const child = childOf(session);
      if (child === undefined) return;
      // it has registered with its parent's registrars
      session.peer.isVouched = true;
      child.onReady();
    });
    runtime.serve(Kind.stopping, (session, message) => childOf(session)?.onStopping(message[1]));
    runtime.serve(Kind.failed, (session, message) => childOf(session)?.onFailed(message[1]));
    runtime.serve(Kind.data, (session, [, id]) => sendData(session, id, memberOf(session)?.data));
  }
  return open;
}
