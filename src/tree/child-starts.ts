/** Starts the processes of a nursery's members, the first of each and every restart. */
import type { Peer } from "../channel/peer.ts";
import type { Runtime } from "../actor/runtime.ts";
import { NameTakenError, SpawnError, TransportClosedError } from "../errors.ts";
import { callerFrames, setStack } from "../frames.ts";
import { nextUuid } from "../identity.ts";
import { Registrars } from "../discovery/registrars.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, readTransports, type Transport } from "../transport/address.ts";
import { ChildProcess } from "./child-process.ts";
import { Member, type MemberPlan } from "./member.ts";
import { lineage } from "./modules.ts";
import type { Started } from "./one-call.ts";
import { readAddressOption } from "./root-options.ts";
import { type OutputMode, treeSettings } from "./settings.ts";
import { describedBy, modulesOf, type StartOptions } from "./start-options.ts";
import type { Spares } from "./spares.ts";
import { enter, enterNow, type Place } from "./starting.ts";
import type { Supervisor } from "./supervisor.ts";

/** How long a child may take to register, unless `timeout` says otherwise. */
export const startTimeoutMs = 10_000;
/** What a start without a timeout passes to its child as `startMs`: timers take 31 bits. */
const longestStartMs = 0x3fff_ffff;

/** The nursery. */
export interface StartsHost {
  readonly runtime: Runtime;
  readonly supervisor: Supervisor;
  /** Aborted when the nursery fails or is cancelled. */
  readonly signal: AbortSignal;
  /** What to do with the output of children that aren't started with an option for it; undefined to pass it on. */
  readonly output: OutputMode | undefined;
  /** How many spare processes to keep. */
  readonly spares: number;
  /** @throws {SpawnError} when the nursery is closed */
  checkOpen(name: string): void;
}

export class ChildStarts {
  readonly #host: StartsHost;
  readonly #spares: Spares | undefined;

  constructor(host: StartsHost) {
    this.#host = host;
    if (host.spares === 0) return;
    const { Spares: Part } = require("./spares.ts") as typeof import("./spares.ts");
    this.#spares = new Part(host);
  }

  /** Resolves when the spare processes have been reaped. The host's signal must be aborted. */
  async sparesEnded(): Promise<void> {
    await this.#spares?.ended;
  }

  /** Starts a new member; resolves when it is ready. `data`: the option of that name, encoded. */
  async start(
    plan: MemberPlan,
    data: Uint8Array | undefined,
    timeout: number = plan.options.timeout ?? startTimeoutMs,
  ): Promise<Started> {
    const { name, options } = plan;
    const member = new Member(plan, data);
    const place = enterNow(timeout) ?? (await this.#place(name, timeout, options.signal));
    let child: ChildProcess;
    let refused: Promise<never> | undefined;
    try {
      this.#host.checkOpen(name); // its name may have been waited for
      if (this.#outputOf(options) === "keep") this.#keepOutput(member);
      // asked while the process starts up: the answer is here long before that loads a module
      if (options.hold === undefined) refused = Registrars.of(this.#host.runtime).refusal(name);
      refused?.catch(() => {});
      child = this.#spawn(member, place.leftMs);
    } catch (error) {
      place.leave();
      member.endOutput?.();
      if (error instanceof NameTakenError) setStack(error, callerFrames());
      throw error;
    }
    member.release = options.hold?.use();
    this.#host.supervisor.add(member);
    try {
      child = await this.#up(member, child, place.leftMs, options.signal, refused);
    } catch (thrown) {
      place.leave();
      await member.stop();
      this.#host.supervisor.drop(member);
      const error = member.endedBy ?? thrown;
      if (error instanceof SpawnError || error instanceof NameTakenError) setStack(error, callerFrames());
      throw error;
    }
    place.leave();
    this.#host.supervisor.onStarted(member);
    const peer = this.#introduce(member, child);
    if (peer === undefined) throw new TransportClosedError(`actor "${name}" ended as soon as it had started`);
    return { member, child, peer };
  }

  /** Starts the next process of a member; resolves when it is ready. If it can't be, or on abort, the process is gone. */
  async restart(member: Member, signal: AbortSignal): Promise<void> {
    const { name, options } = member.plan;
    const place = await this.#place(name, options.timeout ?? startTimeoutMs, signal);
    try {
      const child = await this.#up(member, this.#spawn(member, place.leftMs), place.leftMs, signal);
      this.#introduce(member, child);
    } catch (error) {
      place.leave();
      await member.stop();
      throw error;
    } finally {
      place.leave();
    }
  }

  /**
   * Makes `child` the member's process, and waits until it is ready; or another one, if it was a spare that ended before it
   * had its orders. Returns the one that is ready. `refused` rejects if the name is taken.
   */
  async #up(
    member: Member,
    child: ChildProcess,
    leftMs: number,
    signal: AbortSignal | undefined,
    refused?: Promise<never>,
  ): Promise<ChildProcess> {
    const endsAt = performance.now() + leftMs;
    this.#host.supervisor.watch(member, child);
    try {
      const started = child.started(leftMs, signal);
      await (refused === undefined ? started : Promise.race([started, refused]));
      return child;
    } catch (error) {
      if (!child.wasLost || member.isLeaving || signal?.aborted) throw error;
      this.#host.checkOpen(member.name);
      const restMs = Math.max(0, endsAt - performance.now());
      return await this.#up(member, this.#spawn(member, restMs), restMs, signal, refused);
    }
  }

  /** The connection to a child that has just become ready; undefined if it has ended already. */
  #introduce(member: Member, { id, peer }: ChildProcess): Peer<Session> | undefined {
    if (peer !== undefined) peer.channel.epitaph = () => member.epitaph(id);
    return peer;
  }

  /** Waits until a process may start; see `starting.ts`. */
  async #place(name: string, timeout: number, signal: AbortSignal | undefined): Promise<Place> {
    let place: Place;
    try {
      const both = signal === undefined ? this.#host.signal : AbortSignal.any([signal, this.#host.signal]);
      place = await enter(name, timeout, both);
    } catch (error) {
      signal?.throwIfAborted();
      this.#host.checkOpen(name);
      throw error;
    }
    try {
      // it may have been aborted just as it got the place
      signal?.throwIfAborted();
      this.#host.checkOpen(name);
    } catch (error) {
      place.leave();
      throw error;
    }
    return place;
  }

  #outputOf({ output }: StartOptions): OutputMode | undefined {
    return output ?? this.#host.output;
  }

  /** Most actors keep no output, and start sooner without the file. */
  #keepOutput(member: Member): void {
    const { KeptOutputs } = require("./kept-output.ts") as typeof import("./kept-output.ts");
    const all = KeptOutputs.of(this.#host.runtime);
    const output = all.add(member.name);
    member.output = output;
    member.endOutput = () => all.end(output);
  }

  #spawn({ plan, data, id, output: kept }: Member, startMs: number): ChildProcess {
    const { name, options } = plan;
    const output = this.#outputOf(options);
    const runtime = this.#host.runtime;
    const { advertise: ownAdvertised, ...tree } = treeSettings.of(runtime);
    const registrars = Registrars.of(runtime);
    const transports =
      options.enableTransports === undefined ? tree.transports : readTransports(options.enableTransports);
    const advertise = advertisedBy(options, transports, ownAdvertised);
    const init = {
      ...tree,
      transports,
      name,
      uuid: nextUuid(id?.uuid ?? options.inPlaceOf),
      parent: { name: runtime.name, uuid: runtime.uuid, addrs: runtime.listeners.local },
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
      ...(advertise.length > 0 && { advertise }),
      ...(options.hold && { hold: options.hold.form }),
      ...(this.#host.output !== undefined && { output: this.#host.output }),
    };
    const launch = output === undefined ? options : { ...options, output };
    return outsideTasks(() => new ChildProcess(runtime, init, launch, kept, this.#spares));
  }
}

/** Most programs never load the file. */
function advertisedBy(
  { advertiseAddrs }: StartOptions,
  transports: readonly Transport[],
  inherited: readonly Address[] = [],
): readonly Address[] {
  if (advertiseAddrs === undefined && inherited.length === 0) return [];
  const { advertisedByChild } = require("./advertised.ts") as typeof import("./advertised.ts");
  return advertisedByChild(advertiseAddrs, transports, inherited);
}
