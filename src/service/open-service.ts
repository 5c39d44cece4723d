/** `openService`: calls to a name, whoever has it at the moment. */
import { TransportClosedError } from "../errors.ts";
import type { Registration } from "../discovery/registration.ts";
import { boundsOf, callBoundsOf, verb } from "../rpc/portal.ts";
import { ambientTask, outsideTasks } from "../rpc/task.ts";
import type { OpenApi, RunApi, StreamApi } from "../rpc/types.ts";
import { ServiceCore } from "./core.ts";
import { openServiceDialog, ServiceStream } from "./opening.ts";
import { boundedCall, type CallPlan, ServiceCall } from "./service-call.ts";
import type { Service, ServiceCallOptions, ServiceOptions } from "./types.ts";

/**
 * Opens a service: the actors of a name, as one. Resolves when it knows which there are; there may be none yet.
 *
 * It connects to an instance when the first call goes there, so a process is connected only to the instances that it uses.
 * The service lives until it is disposed, also beyond the call that opened it. Its calls that are pending then reject with
 * a `TransportClosedError`; streams and dialogs that have begun go on.
 *
 * An instance that doesn't answer (a dial, or a sign of life that is asked for while a call waits) is left alone until it
 * speaks again. A call that is in flight there waits as any call does: give it a `timeout`.
 *
 * @throws {RegistryUnavailableError} when there is no registrar
 * @throws {TimeoutError} with stage "lookup" when the registrar is silent
 * @throws {ActorNameError | AddressError | TypeError | RangeError} when an argument is malformed
 * @throws {NoRuntimeError} when this process has no actor
 */
export async function openService<M = unknown>(
  name: string,
  options: ServiceOptions = {},
): Promise<Service<M>> {
  const { signal } = options;
  signal?.throwIfAborted();
  const core = outsideTasks(() => new ServiceCore(name, options));
  const task = ambientTask();
  try {
    const opened = core.opened(signal);
    await (task === undefined ? opened : task.follow(opened));
  } catch (error) {
    await core.close(error);
    throw error;
  }
  return new ServiceView<M>(core, {});
}

/** A service with options for its calls. */
class ServiceView<M> implements Service<M> {
  readonly #core: ServiceCore;
  readonly #options: ServiceCallOptions;
  /** The view on which `with` made this one. */
  readonly #parent: ServiceView<M> | undefined;
  /** Created on first use, as in a portal. */
  #runApi: RunApi<M> | undefined;
  #streamApi: StreamApi<M> | undefined;
  #openApi: OpenApi<M> | undefined;
  readonly #plan: CallPlan;

  constructor(core: ServiceCore, options: ServiceCallOptions, parent?: ServiceView<M>) {
    this.#core = core;
    this.#options = options;
    this.#parent = parent;
    this.#plan = { bounds: boundsOf(options), isIdempotent: options.idempotent === true };
  }

  get run(): RunApi<M> {
    return (this.#runApi ??= this.#makeRun());
  }

  get stream(): StreamApi<M> {
    return (this.#streamApi ??= verb<StreamApi<M>>(
      (fn, args) => new ServiceStream(this.#core, fn, args, this.#plan),
    ));
  }

  get open(): OpenApi<M> {
    return (this.#openApi ??= verb<OpenApi<M>>((fn, args) =>
      openServiceDialog(this.#core, fn, args, this.#plan),
    ));
  }

  get instances(): readonly Registration[] {
    return this.#core.instances;
  }

  with(options: ServiceCallOptions): Service<M> {
    return new ServiceView<M>(this.#core, { ...this.#options, ...options }, this);
  }

  /** Disposing a view that `with` made does nothing: it holds nothing of its own. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#parent !== undefined) return;
    await this.#core.close(new TransportClosedError(`service "${this.#core.name}" is closed`));
  }

  #makeRun(): RunApi<M> {
    const core = this.#core;
    const { isIdempotent } = this.#plan;
    const bounds = callBoundsOf(this.#plan.bounds, core.runtime.callTimeoutMs);
    const plan = { bounds, isIdempotent };
    return verb<RunApi<M>>((fn, args) => {
      const task = ambientTask();
      if (bounds !== undefined || task !== undefined) return boundedCall(core, fn, args, plan, task);
      return new Promise((resolve, reject) =>
        new ServiceCall(core, fn, args, isIdempotent, resolve, reject).begin(),
      );
    });
  }
}
