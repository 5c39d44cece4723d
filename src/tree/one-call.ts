/** An actor for one call: `nursery.run`. */
import type { Peer } from "../channel/peer.ts";
import { TransportClosedError } from "../errors.ts";
import { callerFrames, setStack } from "../frames.ts";
import { RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import type { CannotCross, RunApi } from "../rpc/types.ts";
import type { ChildProcess } from "./child-process.ts";
import type { Member } from "./member.ts";

/** The names of the functions of `M` that can be called. */
export type FunctionName<M> = keyof RunApi<M> & string;

/** What such a function takes. For one that can't be called from another actor, the type that explains why. */
export type CallArguments<M, K extends FunctionName<M>> = RunApi<M>[K] extends (...args: infer A) => unknown
  ? A
  : RunApi<M>[K] extends CannotCross<string>
    ? [RunApi<M>[K]]
    : never;

/** What it returns. */
export type CallResult<M, K extends FunctionName<M>> = RunApi<M>[K] extends (
  ...args: never[]
) => Promise<infer R>
  ? R
  : never;

/** An actor that has just become ready. */
export interface Started {
  readonly member: Member;
  readonly child: ChildProcess;
  readonly peer: Peer<Session>;
}

/** Names are limited to 255 bytes; a function's can be longer. */
const maxNameBytes = 255;

/** Starts an actor with `start`, calls `fn`, and ends the actor, whatever becomes of the call. */
export async function callOnce(
  start: (name: string) => Promise<Started>,
  fn: string,
  args: readonly unknown[],
  signal: AbortSignal,
): Promise<unknown> {
  const name = fn !== "" && Buffer.byteLength(fn) <= maxNameBytes ? fn : "run";
  const { member, child, peer } = await start(name);
  const portal = new RemotePortal(peer.acquire().handler);
  try {
    return await portal.with({ signal }).run[fn](...args);
  } catch (error) {
    if (!(error instanceof TransportClosedError) || signal.aborted) throw error;
    await member.stop();
    const death = await child.ended;
    if (death === undefined) throw error;
    const told = new TransportClosedError(`${error.message}: ${death.message}`, { cause: death });
    setStack(told, callerFrames());
    throw told;
  } finally {
    member.isLeaving = true;
    await portal[Symbol.asyncDispose]();
    await member.stop();
  }
}
