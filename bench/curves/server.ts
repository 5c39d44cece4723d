/** The process that a curve measures, or asks: a registrar and actor that grows on request. */
import type { Address, Limits } from "../../src/index.ts";
import type { Memory } from "../harness/memory.ts";
import { Program } from "../harness/program.ts";
import type { RawTarget } from "../harness/row.ts";
import type { LongestTurn } from "../harness/turns.ts";

/** The process gets this as JSON in its argument. */
export interface ServerPlan {
  readonly folder: string;
  readonly limits: Partial<Limits>;
}

export interface ServerPlaces {
  readonly registry: Address;
  /** Raw sockets that send back what they receive; the second one waits where the kernel takes no more. */
  readonly echo: RawTarget;
  readonly patientEcho: RawTarget;
  /** A raw socket that passes on what one connection sends to all others. */
  readonly fanOut: RawTarget;
}

/** What it can be asked, and what comes back. */
export interface ServerAnswers {
  readonly fill: null;
  readonly memory: Memory;
  readonly longestTurn: LongestTurn;
}

interface Details {
  readonly fill: { readonly names: number; readonly instancesOf?: string };
  readonly memory: object;
  readonly longestTurn: object;
}

export type Question<Kind extends keyof ServerAnswers> = { readonly kind: Kind } & Details[Kind];

export class CurveServer implements AsyncDisposable {
  readonly places: ServerPlaces;
  readonly #program: Program;

  private constructor(program: Program, places: ServerPlaces) {
    this.#program = program;
    this.places = places;
  }

  static async start(plan: ServerPlan): Promise<CurveServer> {
    const { program, first } = await Program.start<ServerPlaces>("curve-server", plan);
    return new CurveServer(program, first);
  }

  /** Registers `actor-0` and so on, without actors behind them. */
  async fillNames(names: number): Promise<void> {
    await this.#ask({ kind: "fill", names });
  }

  /** The same, for instances of one name. */
  async fillInstances(name: string, instances: number): Promise<void> {
    await this.#ask({ kind: "fill", names: instances, instancesOf: name });
  }

  /** After a collection. */
  async memory(): Promise<Memory> {
    return await this.#ask({ kind: "memory" });
  }

  /** The longest turn of its event loop since the last question. */
  async longestTurn(): Promise<LongestTurn> {
    return await this.#ask({ kind: "longestTurn" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }

  async #ask<Kind extends keyof ServerAnswers>(question: Question<Kind>): Promise<ServerAnswers[Kind]> {
    return (await this.#program.ask(question)) as ServerAnswers[Kind];
  }
}
