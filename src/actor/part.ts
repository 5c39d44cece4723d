/**
 * State that higher layers attach to an actor: discovery its registrars, the process tree its nurseries and settings.
 * The actor stores it without knowing what it is.
 */
import { NoRuntimeError } from "../errors.ts";

/** An object that parts can be attached to. */
export interface PartHolder {
  readonly name: string;
  readonly parts: Map<Part<unknown>, unknown>;
}

/** The key of a part of type `T`. An actor has at most one part per key. */
export class Part<T> {
  /** Ties the type to the key, so that `Part<A>` isn't assignable to `Part<B>`; never set. */
  declare protected readonly type: T;

  set(actor: PartHolder, part: T): void {
    actor.parts.set(this, part);
  }

  find(actor: PartHolder): T | undefined {
    return actor.parts.get(this) as T | undefined;
  }

  /** The part of the actor; made when first asked for. */
  ensure(actor: PartHolder, make: () => T): T {
    let part = this.find(actor);
    if (part === undefined) this.set(actor, (part = make()));
    return part;
  }

  /** @throws {NoRuntimeError} when the actor doesn't have this part yet because it's still booting */
  of(actor: PartHolder): T {
    const part = this.find(actor);
    if (part === undefined) throw new NoRuntimeError(`actor "${actor.name}" has not booted yet`);
    return part;
  }
}
