/** Streams and dialogs of a service: opened at one instance, or at the next while they certainly haven't begun. */
import { Deadline } from "../deadline.ts";
import { TransportClosedError } from "../errors.ts";
import { NotRunError } from "../rpc/caller/calls.ts";
import { type OpenDialog, openDialog } from "../rpc/caller/dialog.ts";
import type { Exchange } from "../rpc/caller/exchange.ts";
import { StreamReader } from "../rpc/caller/stream-reader.ts";
import { toldTo } from "../rpc/remote-error.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask } from "../rpc/task.ts";
import { Kind } from "../wire/messages.ts";
import { Attempts } from "./failure.ts";
import type { CallHost, CallPlan, Placed } from "./service-call.ts";

/** What is opened: by whom, which function, and how. */
interface Request {
  readonly host: CallHost;
  readonly kind: typeof Kind.stream | typeof Kind.open;
  readonly fn: string;
  readonly args: unknown[];
  readonly plan: CallPlan;
}

/**
 * Opens a dialog.
 *
 * @throws as `openDialog`; as `CallHost.find`
 */
export async function openServiceDialog(
  host: CallHost,
  fn: string,
  args: unknown[],
  plan: CallPlan,
): Promise<OpenDialog> {
  const request = { host, kind: Kind.open, fn, args, plan };
  const noOne = new AbortController();
  return await beginSomewhere(request, noOne.signal, (open) => openDialog(open(), plan.bounds));
}

/** Reads a stream, as a `StreamReader` does. Chooses its instance with the first `next`. */
export class ServiceStream implements AsyncGenerator<unknown, unknown, undefined> {
  readonly #request: Request;
  /** Aborted when the reader leaves before there was a value. */
  readonly #leaving = new AbortController();
  /** The reader at the instance that has given something. */
  #reader: StreamReader | undefined;
  /** The reader at an instance that hasn't yet. */
  #candidate: StreamReader | undefined;
  #starting: Promise<IteratorResult<unknown, unknown>> | undefined;
  #isOver = false;

  constructor(host: CallHost, fn: string, args: unknown[], plan: CallPlan) {
    this.#request = { host, kind: Kind.stream, fn, args, plan };
  }

  next(): Promise<IteratorResult<unknown, unknown>> {
    return this.#reader?.next() ?? this.#first();
  }

  async return(value?: unknown): Promise<IteratorResult<unknown, unknown>> {
    await this.#leave();
    return (await this.#reader?.return(value)) ?? { done: true, value: await value };
  }

  async throw(error: unknown): Promise<IteratorResult<unknown, unknown>> {
    await this.return();
    throw error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #first(): Promise<IteratorResult<unknown, unknown>> {
    if (this.#isOver) return { done: true, value: undefined };
    if (this.#starting !== undefined) {
      // a second `next` before the first has its value
      await this.#starting.catch(() => {});
      return await this.next();
    }
    try {
      return await (this.#starting = this.#begin());
    } catch (error) {
      this.#isOver = true;
      throw toldTo(error);
    } finally {
      this.#starting = undefined;
    }
  }

  async #begin(): Promise<IteratorResult<unknown, unknown>> {
    const { bounds } = this.#request.plan;
    return await beginSomewhere(this.#request, this.#leaving.signal, async (open) => {
      const reader = (this.#candidate = new StreamReader(open, bounds));
      const step = await reader.next();
      this.#reader = reader;
      return step;
    });
  }

  async #leave(): Promise<void> {
    if (this.#reader !== undefined) return;
    this.#isOver = true;
    this.#leaving.abort(new TransportClosedError("the reader left"));
    await this.#candidate?.return();
    await this.#starting?.catch(() => {});
  }
}

/** Begins the request at one instance after the other, until one has answered. */
async function beginSomewhere<T>(
  request: Request,
  leaving: AbortSignal,
  begin: (open: () => Exchange) => Promise<T>,
): Promise<T> {
  const { host, fn, plan } = request;
  const signals = [leaving, plan.bounds?.signal, ambientTask()?.signal].filter((one) => one !== undefined);
  const attempts = new Attempts(fn, plan.isIdempotent);
  for (;;) {
    const { instance, session } = await place(request, signals);
    host.attend();
    try {
      return await begin(() => exchange(request, session));
    } catch (error) {
      // given up on this side
      if (signals.some(({ aborted }) => aborted)) throw error;
      attempts.goOn(error, instance, session);
    }
  }
}

/** Chooses an instance; only one that isn't connected yet has to be waited for. */
function place(request: Request, signals: readonly AbortSignal[]): Placed | Promise<Placed> {
  const { host, fn, args, plan } = request;
  host.checkOpen();
  const instance = host.choose(fn, args);
  const session = instance?.session;
  const isSelf = instance?.isLocal === true && host.selfFault() !== undefined;
  if (session !== undefined && !isSelf) return { instance: instance!, session };
  const signal = AbortSignal.any([...signals]);
  const deadline = new Deadline({ signal, timeout: plan.bounds?.timeout }, "call of", fn);
  return host.find(fn, args, deadline, isSelf ? undefined : instance);
}

function exchange({ kind, fn, args, plan }: Request, session: Session): Exchange {
  try {
    return session.exchange(kind, fn, args, plan.bounds);
  } catch (error) {
    // nothing was sent
    throw error instanceof TransportClosedError && !session.peer.isOpen ? new NotRunError(error) : error;
  }
}
