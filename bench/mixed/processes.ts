/** The long-lived processes of the mixed load, and what each holds. */
import { descriptorsOf, memoryOf } from "../harness/memory.ts";
import { Program } from "../harness/program.ts";
import type { Held } from "./growth.ts";
import type { LoadPlan, LoadState } from "./load.ts";

export type States = Readonly<Record<"registrar" | "root" | "client", LoadState>>;

export class MixedLoad implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #programs: Readonly<Record<keyof States, Program>>;

  private constructor(stack: AsyncDisposableStack, programs: Readonly<Record<keyof States, Program>>) {
    this.#stack = stack;
    this.#programs = programs;
  }

  /** Starts the registrar, then the tree of workers, then their client. The load begins with each. */
  static async start(plan: LoadPlan): Promise<MixedLoad> {
    await using stack = new AsyncDisposableStack();
    const start = async (name: keyof States): Promise<Program> =>
      stack.use((await Program.start(`mixed-${name}`, plan)).program);
    const registrar = await start("registrar");
    const root = await start("root");
    const client = await start("client");
    return new MixedLoad(stack.move(), { registrar, root, client });
  }

  /** What each process tells. */
  async states(): Promise<States> {
    const { registrar, root, client } = this.#programs;
    const ask = async (program: Program): Promise<LoadState> => (await program.ask({})) as LoadState;
    return { registrar: await ask(registrar), root: await ask(root), client: await ask(client) };
  }

  /** What each process holds, and the worker that isn't killed. */
  async held(): Promise<Record<string, Held>> {
    const states = await this.states();
    const { worker } = states.root;
    return {
      registrar: heldBy(this.#programs.registrar.pid, states.registrar.heap),
      root: heldBy(this.#programs.root.pid, states.root.heap),
      ...(worker && { worker: heldBy(worker.pid, worker.heap) }),
      client: heldBy(this.#programs.client.pid, states.client.heap),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function heldBy(pid: number, heap: number): Held {
  return { ...memoryOf(pid), heap, descriptors: descriptorsOf(pid) };
}
