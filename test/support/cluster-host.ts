/**
 * Hosts of a cluster on this machine: programs in mount namespaces of their own, which is what a host is told from. Each
 * has its own runtime folder, and reaches the others over tcp on loopback.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { Address } from "../../src/index.ts";
import type { setTiming } from "./timing.ts";
import { freePort, Program } from "./world.ts";

const unshare = ["unshare", "-m"];

/** Why there can be no other hosts here; undefined if there can. */
export const lacksHosts: string | undefined =
  process.platform === "linux" && Bun.spawnSync([...unshare, "true"], { stderr: "ignore" }).exitCode === 0
    ? undefined
    : "mount namespaces need linux, root, and the unshare command";
if (lacksHosts !== undefined) console.warn(`skipped: ${lacksHosts}`);

let made = 0;

export class ClusterHost implements AsyncDisposable {
  readonly dir: string;
  readonly registryAddrs: readonly Address[];
  readonly env: Readonly<Record<string, string>>;
  readonly #programs: Program[] = [];
  #space: Promise<string> | undefined;
  #keeper: Bun.Subprocess | undefined;

  /** `urls`: those of the etcd. */
  constructor(urls: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.dir = join(process.env["FURROW_RUNTIME_DIR"]!, `h${++made}`);
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    this.registryAddrs = [`unix://${this.dir}/registry@1.sock`, `tcp://127.0.0.1:${freePort()}`];
    this.env = {
      FURROW_RUNTIME_DIR: this.dir,
      FURROW_REGISTRY_ADDRS: this.registryAddrs.join(","),
      FURROW_CLUSTER: urls.join(","),
      ...env,
    };
  }

  /** Starts a program without an actor. */
  async program(): Promise<Program> {
    const program = new Program({ ...this.env }, [
      "nsenter",
      `--mount=${await (this.#space ??= this.#open())}`,
    ]);
    this.#programs.push(program);
    await program.up;
    return program;
  }

  /** Starts a program whose root actor has this name; its options, and the waits of furrow in it. */
  async actor(
    name: string,
    options: Record<string, unknown> = {},
    timing: Parameters<typeof setTiming>[0] = {},
  ): Promise<Program> {
    const program = await this.program();
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
    this.#keeper?.kill("SIGKILL");
    await this.#keeper?.exited;
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The namespace that all programs of this host share; it lasts as long as the process in it. */
  async #open(): Promise<string> {
    this.#keeper = Bun.spawn([...unshare, "sh", "-c", "echo up; exec cat"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await (this.#keeper.stdout as ReadableStream).getReader().read();
    return `/proc/${this.#keeper.pid}/ns/mnt`;
  }
}
