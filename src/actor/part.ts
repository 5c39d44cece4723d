/**
 * What higher layers hang on an actor: discovery its registries, the process tree its nurseries and settings. The actor
 * keeps them and doesn't know them.
 */
import { NoRuntimeError } from "../errors.ts";

/** What a part is kept on. */
export interface PartHolder {
  readonly name: string;
  readonly parts: Map<Part<unknown>, unknown>;
}

/** The key of a part of type `T`; there is one of each to an actor. */
export class Part<T> {
  /** Ties the type to the key, so that `Part<A>` isn't a `Part<B>`; never set. */
  declare protected readonly type: T;

  set(actor: PartHolder, part: T): void {
    actor.parts.set(this, part);
  }

  find(actor: PartHolder): T | undefined {
    return actor.parts.get(this) as T | undefined;
  }

  /** @throws {NoRuntimeError} when the actor has no such part yet: it is still booting */
  of(actor: PartHolder): T {
    const part = this.find(actor);
    if (part === undefined) throw new NoRuntimeError(`actor "${actor.name}" has not booted yet`);
    return part;
  }
}
