/** Lets a number of an actor's requests run at a time; the others wait, first come, first served. */
import { LimitError } from "../../errors.ts";
import type { Limits } from "../../limits.ts";
import { outermost, type Task } from "../task.ts";

/** A request that waits. Calling it gives it the place that it waits for. */
type Turn = () => void;

export class Gate {
  readonly places: number;
  readonly #limits: Limits;
  /** The tasks that have a place. */
  readonly #running = new Set<Task>();
  /** In the order of arrival. */
  readonly #waiting = new Set<Turn>();

  constructor(places: number, limits: Limits) {
    this.places = places;
    this.#limits = limits;
  }

  /**
   * Runs `work` as soon as there's a place for it: synchronously, if there is one now. Rejects with the task's reason, and
   * never runs it, if the task is aborted first.
   *
   * @throws {LimitError} when too many are waiting already
   */
  async run<T>(task: Task, work: () => Promise<T>): Promise<T> {
    if (this.#running.size < this.places) this.#running.add(task);
    else await this.#turn(task);
    try {
      if (task.aborted) throw task.reason;
      return await work();
    } finally {
      this.#leave(task);
    }
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether a task, or one that it belongs to, has a place. */
  isInside(task: Task | undefined): boolean {
    const outer = outermost(task);
    return outer !== undefined && this.#running.has(outer);
  }

  #turn(task: Task): Promise<void> {
    const { maxCallsInFlight } = this.#limits;
    if (this.#waiting.size >= maxCallsInFlight) {
      const text = `${this.#waiting.size} calls wait for their turn (concurrency ${this.places}): maxCallsInFlight is ${maxCallsInFlight}`;
      return Promise.reject(new LimitError(text));
    }
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        stop();
        this.#running.add(task);
        resolve();
      };
      this.#waiting.add(turn);
      const stop = task.onAbort((reason) => {
        if (this.#waiting.delete(turn)) reject(reason);
      });
    });
  }

  /** Passes the place on, so that no later arrival can take it first. */
  #leave(task: Task): void {
    this.#running.delete(task);
    const [turn] = this.#waiting;
    if (turn === undefined) return;
    this.#waiting.delete(turn);
    turn();
  }
}
