/** An isolated discovery space for a test: its own runtime folder, registry addresses, and programs. */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { Address, Transport } from "../../src/index.ts";
import type { Scope } from "../fixtures/program.ts";
import { hasProc, processesWith } from "./processes.ts";
import type { setTiming } from "./timing.ts";

let worlds = 0;

/** How long the children of killed programs may take to end; those that are still there then are reported as left behind. */
const orphansMs = 2_000;

/** A port that was free just now. It's below those that systems hand out, so no one else gets it by chance. */
export function freePort(): number {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop();
      return port;
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
    }
  }
}

export class World implements AsyncDisposable {
  readonly dir: string;
  readonly unix: Address;
  readonly tcp: Address;
  readonly registryAddrs: Address[];
  readonly #programs: Program[] = [];

  constructor() {
    this.dir = join(process.env["FURROW_RUNTIME_DIR"]!, `w${++worlds}`);
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    this.unix = `unix://${this.dir}/registry@1.sock`;
    this.tcp = `tcp://127.0.0.1:${freePort()}`;
    this.registryAddrs = [this.unix, this.tcp];
  }

  /** Options for `openRootActor` and `openNursery` in the test's own process. */
  get options(): { registryAddrs: Address[]; enableTransports: Transport[] } {
    return { registryAddrs: this.registryAddrs, enableTransports: ["unix", "tcp"] };
  }

  get env(): Record<string, string> {
    return { FURROW_RUNTIME_DIR: this.dir, FURROW_REGISTRY_ADDRS: this.registryAddrs.join(",") };
  }

  /** Starts a program without an actor. */
  async program(env: Readonly<Record<string, string>> = {}): Promise<Program> {
    const program = new Program({ ...this.env, ...env });
    this.#programs.push(program);
    await program.up;
    return program;
  }

  /**
   * Starts a program whose root actor has this name; it listens on both transports unless `options` says otherwise.
   */
  async actor(
    name: string,
    options: Record<string, unknown> = {},
    env: Readonly<Record<string, string>> = {},
    timing: Parameters<typeof setTiming>[0] = {},
  ): Promise<Program> {
    const program = await this.program(env);
    await program.run(
      async ({ furrow, keep, setTiming, args: [options, waits] }) => {
        setTiming(waits as object);
        keep["actor"] = await furrow.openRootActor(options as object);
      },
      { name, enableTransports: ["unix", "tcp"], ...options },
      timing,
    );
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()));
    // the kernel ends their children a moment later: until then, one may put a file back
    const end = performance.now() + orphansMs;
    while (
      hasProc &&
      this.#programs.length > 0 &&
      processesWith(this.dir).length > 0 &&
      performance.now() < end
    )
      await Bun.sleep(5);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { name: string; message: string; code?: string; stage?: string };
}

/** A process that runs functions for the test. They are sent as source, so they see only their parameter. */
export class Program {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly up: Promise<unknown>;
  /** Everything it printed, once it has ended. */
  readonly stdout: Promise<string>;
  readonly stderr: Promise<string>;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  /** `wrapper`: a command that starts this one, in another environment for example. */
  constructor(env: Record<string, string>, wrapper: string[] = []) {
    const up = Promise.withResolvers<unknown>();
    this.#waiting.set(0, up);
    this.up = up.promise;
    this.process = Bun.spawn(
      [...wrapper, process.execPath, join(import.meta.dir, "../fixtures/program.ts")],
      {
        env: { ...process.env, ...env },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        serialization: "json",
        ipc: (message: Answer) => this.#settle(message),
      },
    );
    this.stdout = new Response(this.process.stdout).text();
    this.stderr = new Response(this.process.stderr).text();
    void this.process.exited.then(async () => {
      const stderr = await this.stderr;
      for (const one of this.#waiting.values()) one.reject(new Error(`the program ended: ${stderr}`));
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.process.pid;
  }

  /** Runs `fn` in the program. An error that it throws arrives with its name, message and code. */
  async run<T>(fn: (scope: Scope) => T | Promise<T>, ...args: unknown[]): Promise<Awaited<T>> {
    const id = ++this.#lastId;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.process.send({ id, source: fn.toString(), args });
    return (await waiting.promise) as Awaited<T>;
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Sends SIGSTOP and waits until the process has stopped: before that it may still accept a connection or answer. */
  async freeze(): Promise<void> {
    this.signal("SIGSTOP");
    if (process.platform !== "linux") return;
    await until(() => {
      const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
      return stat.slice(stat.lastIndexOf(")")).startsWith(") T");
    });
  }

  /** Kills the process and waits until it has ended. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }

  #settle({ id, value, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(Object.assign(new Error(error.message), error));
  }
}

/** Polls until `condition` holds; for events in other processes. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${condition.toString()}`);
    await Bun.sleep(5);
  }
}
