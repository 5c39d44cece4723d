/**
 * One lookup of a name.
 *
 * `findActor` tries, in this order: what is known without asking (known.ts), connected peers of that name (connected.ts),
 * the registrars (ask.ts). It then chooses a registration, ranks the addresses of that one alone, and dials them until one
 * shows the uuid that was looked up (reach.ts).
 */
import { currentRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { type Bounds, Deadline } from "../deadline.ts";
import { AddressError } from "../errors.ts";
import { ambientTask } from "../rpc/task.ts";
import {
  type Address,
  type AddressInput,
  normalizeAddress,
  readTransports,
  type Transport,
} from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import type { Found } from "./registration.ts";
import { Registrars } from "./registrars.ts";
import type { Selection, SelectOptions } from "./selection.ts";

export interface FindOptions extends Bounds, SelectOptions {
  readonly registryAddrs?: readonly AddressInput[];
  /** Dial only addresses of these transports. */
  readonly enableTransports?: readonly Transport[];
  /** Default true; false: all live instances, one portal each. */
  readonly onlyFirst?: boolean;
  /** Default false; true: `ActorNotFoundError` instead of null. */
  readonly raiseOnNone?: boolean;
}

export interface WaitOptions extends Bounds {
  readonly registryAddr?: AddressInput;
}

/** The caller's signal combined with that of the current task: lookups by a called function end with it. */
function withTask(signal: AbortSignal | undefined): AbortSignal | undefined {
  const task = ambientTask()?.signal;
  return task === undefined || signal === undefined ? (signal ?? task) : AbortSignal.any([signal, task]);
}

/** Most lookups take any instance: the file is loaded with the first that doesn't. */
function selectionOf(options: SelectOptions): Selection | undefined {
  const { pick = "last", where, needs } = options;
  if (pick === "last" && where === undefined && needs === undefined) return undefined;
  const { Selection } = require("./selection.ts") as typeof import("./selection.ts");
  return new Selection(options);
}

/** A name, the caller's options, and one deadline for all steps. */
export class Lookup {
  readonly name: string;
  readonly runtime: Runtime;
  readonly registrars: Registrars;
  readonly deadline: Deadline;
  readonly bounds: Bounds;
  /** Ask these in place of this actor's own registrars. */
  readonly registryAddrs: readonly Address[] | undefined;
  /** Dial only addresses of these. */
  readonly transports: readonly Transport[] | undefined;
  /** Which instances are wanted, if the caller says. */
  readonly selection: Selection | undefined;
  /** The failed dials, the instances that don't fit, and the registrars that didn't answer: the cause of an `ActorNotFoundError`. */
  readonly failures: Error[] = [];

  constructor(name: string, options: FindOptions) {
    checkActorName(name);
    this.runtime = currentRuntime();
    this.registrars = Registrars.of(this.runtime);
    this.name = name;
    this.bounds = { signal: withTask(options.signal), timeout: options.timeout };
    this.deadline = new Deadline(this.bounds, "lookup of", name);
    this.registryAddrs = options.registryAddrs?.map(normalizeAddress);
    if (this.registryAddrs?.length === 0) {
      throw new AddressError(
        "registryAddrs must not be empty; leave it out to ask this actor's own registrars",
      );
    }
    this.selection = selectionOf(options);
    this.transports = options.enableTransports && readTransports(options.enableTransports);
    this.bounds.signal?.throwIfAborted();
  }

  /** A lookup in one registry, or with this actor's own registrars. */
  static at(name: string, { signal, timeout, registryAddr }: WaitOptions): Lookup {
    const registryAddrs = registryAddr === undefined ? {} : { registryAddrs: [registryAddr] };
    return new Lookup(name, { signal, timeout, ...registryAddrs });
  }

  /** Whether the registrations are needed with their details. */
  get wantsDetails(): boolean {
    return this.selection?.needsDetails === true;
  }

  /** Those of them that the caller wants, in the same order. */
  filter(found: Found): Found {
    return this.selection === undefined ? found : this.selection.filter(found);
  }

  /** Whether the caller allows this transport. */
  allows(transport: Transport): boolean {
    return this.transports === undefined || this.transports.includes(transport);
  }
}
