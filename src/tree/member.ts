/** A child of a nursery across its restarts: one process after another carries its name. */
import type { SpawnError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { ChildProcess } from "./child-process.ts";
import type { ChildInfo, ChildState } from "./child-events.ts";
import type { KeptOutput } from "./kept-output.ts";
import { RestartBudget, readRestart } from "./restart.ts";
import type { HeldStartOptions } from "./start-options.ts";

/** How a member is started, each time. */
export interface MemberPlan {
  readonly name: string;
  readonly options: HeldStartOptions;
  /** Whether only the caller who started it hears of its end: it neither fails its nursery nor shares siblings' lives. */
  readonly isOneCall: boolean;
}

export class Member {
  readonly plan: MemberPlan;
  readonly budget: RestartBudget;
  /** The option `data`, encoded, as long as a process may ask for it. */
  data: Uint8Array | undefined;
  /** Its running process, if there is one. */
  process: ChildProcess | undefined;
  /** Whether its first process has become ready. Until then its start is the business of who started it. */
  hasStarted = false;
  /** Whether it is being ended for good though the nursery goes on. */
  isLeaving = false;
  /** The member that has replaced it. */
  successor: Member | undefined;
  /** Why it was ended, if that was while it was starting. */
  endedBy: SpawnError | undefined;
  state: ChildState = "starting";
  /** What it writes, if that is kept. */
  output: KeptOutput | undefined;
  /** Counts its output among that of children which have ended. */
  endOutput: (() => void) | undefined;
  /** Gives back the hold on its name, if there is one. */
  release: (() => void) | undefined;
  restarts = 0;
  /** Of its last process that became ready: the one that events tell of. */
  readyId: ActorId | undefined;
  /** No restart before this time, on the clock of `performance.now()`. */
  dueAt = 0;
  /** Settles when the end of the last process has been dealt with. */
  watched: Promise<void> = Promise.resolve();
  #id: ActorId | undefined;
  #startedAt = 0;

  /** @throws {RangeError} when the restart policy is malformed */
  constructor(plan: MemberPlan, data: Uint8Array | undefined) {
    this.plan = plan;
    this.data = data;
    this.budget = new RestartBudget(readRestart(plan.options.restart));
  }

  get name(): string {
    return this.plan.name;
  }

  /** Of its current process, or of the last one. Undefined before its first. */
  get id(): ActorId | undefined {
    return this.#id;
  }

  /** When its current process, or the last one, was started: in milliseconds since 1970. */
  get startedAt(): number {
    return this.#startedAt;
  }

  /** Makes `child` its process. */
  adopt(child: ChildProcess): void {
    this.process = child;
    this.#id = child.id;
    this.#startedAt = Date.now();
  }

  /** Ends its process, if there is one; resolves when that has been reaped and dealt with. */
  async stop(): Promise<void> {
    await this.process?.stop();
    await this.watched;
  }

  info(isEnding: boolean): ChildInfo | undefined {
    const { restarts, state } = this;
    if (this.#id === undefined) return undefined;
    return Object.freeze({
      id: this.#id,
      restarts,
      startedAt: this.#startedAt,
      state: isEnding || (this.isLeaving && state !== "draining") ? "stopping" : state,
    });
  }

  /**
   * What to say to the holder of a portal to an earlier process of this member. Undefined when there's nothing to say
   * beyond that it has ended.
   */
  epitaph(id: ActorId): string | undefined {
    const fate = this.#fateOf(id);
    if (fate === undefined) return undefined;
    return `${describeActor(id)} has ended and ${fate}; a portal stays with one process: openService(${JSON.stringify(this.name)}) follows the name`;
  }

  #fateOf({ uuid }: ActorId): string | undefined {
    const latest = this.#latest();
    const { state } = latest;
    const now = latest.id;
    if (latest === this && state === "restarting") return "is being restarted";
    if (now === undefined || now.uuid === uuid || (state !== "ready" && state !== "restarting"))
      return undefined;
    return `was ${latest === this ? "restarted as" : "replaced by"} ${describeActor(now)}`;
  }

  /** This member, or the last of those that have replaced it. */
  #latest(): Member {
    let latest = this.successor;
    while (latest?.successor !== undefined) latest = latest.successor;
    return latest ?? this;
  }
}
