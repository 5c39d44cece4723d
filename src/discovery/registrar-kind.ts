import { Runtime } from "../actor/runtime.ts";
import type { Actor } from "../actor/actor.ts";

/**
 * The kind of actor that keeps the table: `actor instanceof Registrar` says the same as `actor.isRegistrar`, always,
 * also when an actor becomes one later. Not constructed: `openRootActor` makes the root one where none answers.
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- its only instances are actors, which have all of it
export abstract class Registrar {
  static [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Runtime && value.isRegistrar;
  }
}

export interface Registrar extends Actor {
  readonly isRegistrar: true;
}

/** @deprecated the old name of `Registrar` */
export const Arbiter: typeof Registrar = Registrar;
