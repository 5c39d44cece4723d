import { Runtime } from "../actor/runtime.ts";
import type { Actor } from "../actor/actor.ts";

/**
 * The kind of actor that keeps the table. `actor instanceof Registrar` always equals `actor.isRegistrar`, also when an
 * actor becomes the registrar later; that test is all this class is for. It is never constructed: `openRootActor` makes
 * its actor the registrar when none answers.
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- its only instances are actors, which have every member
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
