/** The calls that an actor is serving, in the order in which they came: to tell the oldest. */
import type { Failure, Following, ServedRequest } from "../rpc/observer.ts";
import type { Session } from "../rpc/session.ts";
import { isRuntimeName } from "../rpc/callee/dispatch.ts";
import type { OldestCall } from "./sample.ts";
import type { Counted } from "./tallies.ts";

export class RunningCalls {
  readonly #running = new Set<RunningCall>();
  /** What has run since before the measuring began. */
  #earlier: readonly ServedRequest[];

  constructor(sessions: readonly Session[]) {
    this.#earlier = Array.from(callsOf(sessions)).filter(({ name }) => !isRuntimeName(name));
  }

  /** A call begins; the result counts it as `counted` does. */
  begin(name: string, counted: Counted): Following {
    const call = new RunningCall(name, counted, this.#running);
    this.#running.add(call);
    return call;
  }

  oldest(sessions: readonly Session[], now: number): OldestCall | null {
    if (this.#earlier.length > 0) {
      const served = new Set(callsOf(sessions));
      this.#earlier = this.#earlier.filter((request) => served.has(request));
      const [first] = this.#earlier;
      if (first !== undefined) return { name: first.name, ageMs: null };
    }
    for (const { name, counted } of this.#running) return { name, ageMs: now - counted.since };
    return null;
  }
}

class RunningCall implements Following {
  readonly name: string;
  readonly counted: Counted;
  readonly #running: Set<RunningCall>;

  constructor(name: string, counted: Counted, running: Set<RunningCall>) {
    this.name = name;
    this.counted = counted;
    this.#running = running;
  }

  run<T>(work: () => T): T {
    return work();
  }

  end(failure?: Failure): void {
    this.#running.delete(this);
    this.counted.end(failure);
  }
}

function* callsOf(sessions: readonly Session[]): Generator<ServedRequest> {
  for (const session of sessions)
    for (const request of session.served()) if (request.outbox === undefined) yield request;
}
