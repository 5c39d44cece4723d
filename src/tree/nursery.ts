/** A nursery owns the processes started in it: none outlives its block. Modelled on those of trio and tractor. */
import { actorRuntime, hasActor } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { checkTimeout, defaultDrainMs } from "../deadline.ts";
import { ContextCancelledError, messagesOf, SpawnError, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { RemotePortal } from "../rpc/portal.ts";
import { ambientTask } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { checkActorName } from "../wire/actor-name.ts";
import type { ChildEvent, ChildInfo } from "./child-events.ts";
import type { ChildProcess } from "./child-process.ts";
import { type ChildOwner, nurseriesOf } from "./child-routes.ts";
import { ChildStarts, startTimeoutMs } from "./child-starts.ts";
import type { Starter } from "./find-or-start.ts";
import { checkLaunch } from "./launch.ts";
import type { Member } from "./member.ts";
import { refuseUnguarded } from "./modules.ts";
import { type CallArguments, callOnce, type CallResult, type FunctionName } from "./one-call.ts";
import { readRestart } from "./restart.ts";
import { bootRoot } from "./root.ts";
import type { RootOptions } from "./root-options.ts";
import { checkOutput, type OutputMode, treeSettings } from "./settings.ts";
import { encodeData } from "./start-data.ts";
import {
  checkCallOptions,
  type HeldStartOptions,
  modulesOf,
  type ReplaceOptions,
  type StartOptions,
} from "./start-options.ts";
import { checkStrategy, type Strategy, Supervisor } from "./supervisor.ts";

/** How long an actor that is reloaded may go on with what it has begun. */
const reloadDrainMs = 1_000;
const maxSpares = 64;
/** Timers take 31 bits, and the stop's own time is added. */
const longestDrainMs = 0x3fff_ffff;

/**
 * Owns child actors. Leaving its `await using` block cancels those that still run, and returns when all have been
 * reaped.
 */
export interface Nursery extends AsyncDisposable {
  /**
   * Aborted when a child fails or the nursery is cancelled; with the strategies `"one-for-one"` and `"rest-for-one"`, only when it
   * is cancelled.
   */
  readonly signal: AbortSignal;
  /**
   * Starts an actor in a new process; resolves with a portal once it has registered.
   *
   * @throws {SpawnError} when it can't be started: `cause` is its own error, the message ends with its stderr
   * @throws {NameTakenError} with `unique`, when another actor has the name; without it, when a unique one has
   * @throws {ActorNameError | AddressError | TypeError | LimitError} when an argument is malformed
   */
  startActor<M = unknown>(name: string, options: StartOptions): Promise<Portal<M>>;
  /**
   * Replaces the actor of that name in this nursery without a moment in which nobody serves: starts the new one, waits until it
   * is ready, then drains the old one and ends it, or all of them if there are several. If there is none, it just starts one.
   * Resolves when the old one has been reaped. Several replacements of one name take place one after the other.
   *
   * If the start fails, the old one stays. `signal` and `timeout` concern the start; `drainTimeout` the rest. What the old one does
   * while it ends isn't a failure of the nursery. The new one has the options that are given here, its restarts included.
   *
   * @throws as `startActor`; `TransportClosedError` when the new one ends as soon as it has started
   */
  replaceActor<M = unknown>(name: string, options: ReplaceOptions): Promise<Portal<M>>;
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

/** The options of `openNursery`: all but `strategy`, `output` and `spares` are for booting a root. */
export interface NurseryOptions extends RootOptions {
  /**
   * Whose lives a child that fails shares: those of all its siblings, of none (`"one-for-one"`), or of the ones that were started
   * after it (`"rest-for-one"`). If it may be restarted, those are restarted with it; if not, they are ended. Default:
   * `"one-for-all"` for a failure that isn't restarted, while a restart concerns no siblings.
   */
  readonly strategy?: Strategy;
  /**
   * What to do with the output of the children, and of the actors below them, that `startActor` gives no `output`: see there.
   * Default: as this actor was started with; in a root, pass it on.
   */
  readonly output?: OutputMode;
  /**
   * How many spare processes to keep, 0 to 64; default 0. A spare has loaded furrow, and an actor that is started or restarted in it
   * is ready several times as soon. It is used only if the actor's environment, working directory, flags and output are those with
   * which it was started; the next one is started when no actor is being started. None of them shows up among the children.
   */
  readonly spares?: number;
}

/**
 * Opens a nursery. Boots a root actor if this process has none, and ends it with the nursery.
 *
 * @throws as `openRootActor`; `RuntimeExistsError` when options other than `strategy`, `output` and `spares` are given but
 *   there is already an actor
 * @throws {RangeError} when `strategy` or `output` is unknown, or `spares` isn't an integer from 0 to 64
 */
export async function openNursery(options: NurseryOptions = {}): Promise<Nursery> {
  refuseUnguarded("open a nursery");
  const { strategy, output, spares = 0, ...rootOptions } = options;
  checkStrategy(strategy);
  checkOutput(output);
  checkSpares(spares);
  // these are for booting a root: if there's already an actor or client, or one is being opened, bootRoot rejects them
  const boots = !hasActor() || Object.keys(rootOptions).length > 0;
  const runtime = boots
    ? await bootRoot(output === undefined ? rootOptions : { ...rootOptions, output })
    : actorRuntime();
  return new ProcessNursery(runtime, boots, strategy, output ?? treeSettings.find(runtime)?.output, spares);
}

function checkSpares(spares: number): void {
  if (Number.isInteger(spares) && spares >= 0 && spares <= maxSpares) return;
  throw new RangeError(`spares must be an integer from 0 to ${maxSpares}, got ${String(spares)}`);
}

class ProcessNursery implements Nursery, ChildOwner {
  readonly #runtime: Runtime;
  readonly #ownsRuntime: boolean;
  readonly #controller = new AbortController();
  readonly #supervisor: Supervisor;
  readonly #starts: ChildStarts;
  /** How many of the failures have been reported. */
  #told = 0;
  #closed = false;
  /** By name: the replacement in progress. */
  readonly #replacing = new Map<string, Promise<unknown>>();
  readonly #undo: (() => void)[];

  constructor(
    runtime: Runtime,
    ownsRuntime: boolean,
    strategy: Strategy | undefined,
    output: OutputMode | undefined,
    spares: number,
  ) {
    this.#runtime = runtime;
    this.#ownsRuntime = ownsRuntime;
    const { signal } = this;
    const supervisor = (this.#supervisor = new Supervisor(
      {
        runtime,
        signal,
        restart: (member, aborted) => this.#starts.restart(member, aborted),
        abort: (failure) => this.#controller.abort(failure),
      },
      strategy,
    ));
    const checkOpen = (name: string): void => this.#checkOpen(name);
    this.#starts = new ChildStarts({ runtime, supervisor, signal, output, spares, checkOpen });
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
    return await this.#startNamed<M>(name, options, this.#check(name, options));
  }

  async replaceActor<M>(name: string, options: ReplaceOptions): Promise<Portal<M>> {
    const data = this.#check(name, options);
    checkTimeout(options.drainTimeout);
    return await inTurn(this.#replacing, name, () =>
      this.#replace<M>(name, options, data, this.#supervisor.named(name)),
    );
  }

  restartChild(uuid: string): Promise<ActorId> | undefined {
    const member = this.#supervisor.ofUuid(uuid);
    if (member === undefined) return undefined;
    checkSteerable(member, "restart");
    this.#checkOpen(member.name);
    return this.#supervisor.restart(member);
  }

  replaceChild(uuid: string, module: string | undefined): Promise<ActorId> | undefined {
    const member = this.#supervisor.ofUuid(uuid);
    if (member === undefined) return undefined;
    checkSteerable(member, "replace");
    const { name, data, plan } = member;
    // two processes can't listen at one address
    if (module === undefined && plan.options.bindAddrs?.length) return this.#supervisor.restart(member);
    const options = heirOf(plan.options, module);
    this.#checkStart(name, options);
    return inTurn(this.#replacing, name, async () => {
      // it may have been replaced meanwhile
      checkSteerable(member, "replace");
      await using portal = await this.#replace(name, options, data, [member]);
      return portal.id;
    });
  }

  async findOrStart<M>(name: string, options: StartOptions): Promise<Portal<M>> {
    const data = this.#check(name, options);
    const { findOrStart } = require("./find-or-start.ts") as typeof import("./find-or-start.ts");
    return await findOrStart<M>(this.#starter(data), name, options, options.timeout ?? startTimeoutMs);
  }

  async run(module: string | URL, fn: string, ...args: readonly unknown[]): Promise<unknown> {
    const options = { module };
    const start = async (name: string): ReturnType<ChildStarts["start"]> =>
      await this.#starts.start({ name, options, isOneCall: true }, this.#check(name, options));
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
    await Promise.all([this.#supervisor.stopAll(), this.#starts.sparesEnded()]);
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

  async #startNamed<M>(
    name: string,
    options: HeldStartOptions,
    data: Uint8Array | undefined,
  ): Promise<Portal<M>> {
    if (!options.unique || options.hold !== undefined) return await this.#open<M>(name, options, data);
    const { startUnique } = require("./find-or-start.ts") as typeof import("./find-or-start.ts");
    return await startUnique<M>(this.#starter(data), name, options, options.timeout ?? startTimeoutMs);
  }

  async #replace<M>(
    name: string,
    options: ReplaceOptions,
    data: Uint8Array | undefined,
    old: readonly Member[],
  ): Promise<Portal<M>> {
    // both have the name under one hold: other actors are still refused it
    const hold = old.find((member) => member.plan.options.hold !== undefined)?.plan.options.hold;
    // of several, none is the one that it replaces
    const inPlaceOf = old.length === 1 ? old[0]?.id?.uuid : undefined;
    const heir = { ...options, inPlaceOf, ...(hold !== undefined && { hold }) };
    const portal = await this.#startNamed<M>(name, heir, data);
    const fresh = this.#supervisor.members.find(({ id }) => id?.uuid === portal.id.uuid);
    if (fresh === undefined)
      throw new TransportClosedError(`actor "${name}" ended as soon as it had started; the old one stays`);
    const drainMs = Math.min(options.drainTimeout ?? defaultDrainMs, longestDrainMs);
    await Promise.all(old.map((member) => this.#supervisor.retire(member, fresh, drainMs)));
    return portal;
  }

  #starter(data: Uint8Array | undefined): Starter {
    return {
      runtime: this.#runtime,
      signal: this.signal,
      checkOpen: (name) => this.#checkOpen(name),
      start: async <M>(name: string, options: HeldStartOptions, timeoutMs: number) =>
        await this.#open<M>(name, options, data, timeoutMs),
    };
  }

  async #open<M>(
    name: string,
    options: HeldStartOptions,
    data: Uint8Array | undefined,
    timeoutMs?: number,
  ): Promise<Portal<M>> {
    const { peer } = await this.#starts.start({ name, options, isOneCall: false }, data, timeoutMs);
    const { callTimeoutMs } = options;
    return new RemotePortal<M>(peer.acquire().handler, "", { callTimeoutMs });
  }

  /**
   * Checks everything about a start that can be known before there is a process. Returns the option `data`, encoded.
   *
   * @throws when an argument is malformed, or the nursery is closed
   */
  #check(name: string, options: StartOptions): Uint8Array | undefined {
    this.#checkStart(name, options);
    return options.data === undefined ? undefined : encodeData(name, options.data, this.#runtime.limits);
  }

  /** As `#check`, but for `data`. */
  #checkStart(name: string, options: StartOptions): void {
    checkActorName(name);
    readRestart(options.restart);
    checkTimeout(options.timeout);
    checkCallOptions(options);
    checkLaunch(options);
    options.signal?.throwIfAborted();
    this.#checkOpen(name);
    refuseUnguarded(`start actor "${name}"`, modulesOf(options), ambientTask() !== undefined);
  }

  #checkOpen(name: string): void {
    if (this.#closed || this.signal.aborted || this.#runtime.signal.aborted) {
      throw new SpawnError(`cannot start actor "${name}": the nursery is closed`, {
        cause: this.signal.reason,
      });
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

/** @throws {SpawnError} when a member can't be restarted or replaced on request */
function checkSteerable(member: Member, verb: string): void {
  const { plan, data, state, hasStarted, isLeaving } = member;
  const why = plan.isOneCall
    ? "it runs for one call"
    : isLeaving || state === "stopping"
      ? "it is being ended"
      : !hasStarted
        ? "it is still starting"
        : plan.options.data !== undefined && data === undefined
          ? "its data is gone, which is kept only for actors with the option restart"
          : undefined;
  if (why !== undefined) throw new SpawnError(`cannot ${verb} actor "${member.name}": ${why}`);
}

/** The options of the one that replaces an actor from outside: with this module, or with the same ones. */
function heirOf(
  { module: before, modules, signal: _, ...others }: StartOptions,
  module: string | undefined,
): ReplaceOptions {
  const more = modules !== undefined && { modules };
  if (module !== undefined) return { ...others, module, ...(before !== undefined && more) };
  return { ...others, ...(before !== undefined && { module: before }), ...more, drainTimeout: reloadDrainMs };
}

/** Runs `work` after what runs under that name. */
async function inTurn<T>(
  running: Map<string, Promise<unknown>>,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const before = running.get(name) ?? Promise.resolve();
  const mine = before.then(work, work);
  running.set(name, mine);
  try {
    return await mine;
  } finally {
    if (running.get(name) === mine) running.delete(name);
  }
}
