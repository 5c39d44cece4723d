/**
 * One lookup of a name.
 *
 * `findActor` tries, in this order: what is known without asking (known.ts), connected peers of that name (connected.ts),
 * the registrars (ask.ts). It then chooses a registration, ranks the addresses of that one alone, and dials them until one
 * shows the uuid that was looked up (reach.ts).
 */
import { currentRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { DialObserver, DialTrace } from "../channel/dial-trace.ts";
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
import type { LookupRecord, Source } from "./lookup-record.ts";
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

/** Loaded by the first lookup that isn't answered from memory. */
let records: typeof import("./lookup-record.ts") | undefined;

/** A name, the caller's options, one deadline for all steps, and a record of them. */
export class Lookup implements DialObserver {
  readonly name: string;
  readonly runtime: Runtime;
  readonly registrars: Registrars;
  readonly deadline: Deadline;
  readonly bounds: Bounds;
  /** Ask these in place of this actor's own registrars. */
  readonly registryAddrs: readonly Address[] | undefined;
  /** Dial only addresses of these. */
  readonly transports: readonly Transport[] | undefined;
  /**
   * Whether every instance is wanted: a registrar that has just taken over then doesn't answer before those that are on
   * their way back have had the time.
   */
  wantsAll = false;
  /** Which instances are wanted, if the caller says. */
  readonly selection: Selection | undefined;
  /** Only once there is something to record: most lookups are answered from memory, over a connection that exists. */
  #record: LookupRecord | undefined;
  /** What a record that is made later begins with: see `consider`. */
  #tried: Found | undefined;
  #found: Found | undefined;
  #source: Source | undefined;

  /** `what`: how errors name the operation. */
  constructor(name: string, options: FindOptions, what = "lookup of") {
    checkActorName(name);
    this.runtime = currentRuntime();
    this.registrars = Registrars.of(this.runtime);
    this.name = name;
    this.bounds = { signal: withTask(options.signal), timeout: options.timeout };
    this.deadline = new Deadline(this.bounds, what, name);
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

  /** What has been asked and dialled; begins with the first use. */
  get record(): LookupRecord {
    return this.#record ?? this.recordSince(performance.now());
  }

  /** The record, if there is one. */
  get recorded(): LookupRecord | undefined {
    return this.#record;
  }

  /** Begins the record of a lookup that began before. */
  recordSince(since: number): LookupRecord {
    records ??= require("./lookup-record.ts") as typeof import("./lookup-record.ts");
    const record = (this.#record = new records.LookupRecord(this, since));
    if (this.#tried !== undefined) record.consider(this.#tried, this.#found, this.#source);
    return record;
  }

  /**
   * Notes the instances that are about to be tried, in that order, and those among which they were selected. Without a
   * source they are from the answers to this lookup.
   */
  consider(tried: Found, found: Found = tried, source?: Source): void {
    if (this.#record === undefined) {
      this.#tried = tried;
      this.#found = found;
      this.#source = source;
    } else {
      this.#record.consider(tried, found, source);
    }
  }

  onDial(uuid: string, dial: DialTrace): void {
    this.record.dialling(uuid, dial);
  }

  /** Whether it is the reason of the caller's abort or of the actor's end, which belongs to all that it ends. */
  isAbort(error: unknown): boolean {
    return [this.deadline.signal, this.runtime.signal].some(
      (signal) => signal?.aborted && signal.reason === error,
    );
  }

  /** The error that the lookup fails with, with its report. */
  reported(error: unknown): unknown {
    if (this.isAbort(error)) return error;
    this.record.failed(error);
    return this.record.attachTo(error);
  }
}
