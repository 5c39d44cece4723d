/** Actors in the test's own process: any number of them, without a tree or discovery. */
import { join } from "node:path";

import { Runtime } from "../../src/actor/runtime.ts";
import type { DialTarget } from "../../src/channel/peer.ts";
import { Deadline } from "../../src/deadline.ts";
import { type Limits, resolveLimits } from "../../src/limits.ts";
import type { Address } from "../../src/transport/address.ts";
import { hostId } from "../../src/transport/host.ts";

let actors = 0;

/** An actor that listens on unix and tcp, and exposes `functions`. */
export async function actor(
  name: string,
  options: {
    readonly uuid?: string;
    readonly limits?: Partial<Limits>;
    readonly functions?: Record<string, (...args: never[]) => unknown>;
  } = {},
): Promise<Runtime> {
  const id = { name, uuid: options.uuid ?? crypto.randomUUID(), pid: process.pid, host: hostId() };
  const runtime = new Runtime(id, resolveLimits(options.limits), true);
  runtime.becomeReady();
  runtime.dispatcher.expose({ echo: (value: unknown) => value, ...options.functions }, "test");
  await runtime.listeners.bind(
    `unix://${join(process.env["FURROW_RUNTIME_DIR"]!, `actor-${++actors}@${process.pid}.sock`)}`,
  );
  await runtime.listeners.bind("tcp://127.0.0.1:0");
  return runtime;
}

/** The target by which another actor connects to it. */
export function targetOf(runtime: DialTarget, addrs: readonly Address[] = runtime.addrs): DialTarget {
  return { name: runtime.name, uuid: runtime.uuid, pid: process.pid, addrs };
}

export function soon(timeout = 5_000): Deadline {
  return new Deadline({ timeout }, "a test");
}

/** Two uuids in ascending order. */
export function uuids(): [smaller: string, larger: string] {
  return [crypto.randomUUID(), crypto.randomUUID()].sort() as [string, string];
}

export async function failure(failing: PromiseLike<unknown>): Promise<Error> {
  return await failing.then(
    () => new Error("it did not fail"),
    (error: unknown) => error as Error,
  );
}
