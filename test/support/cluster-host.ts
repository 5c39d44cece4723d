/**
 * Hosts of a cluster on this machine: programs in mount namespaces of their own, which is what a host is told from. Each
 * has its own runtime folder, and reaches the others over tcp on loopback.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { EtcdOptions } from "../../src/etcd.ts";
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

const etcdFile = join(import.meta.dir, "../../src/etcd.ts");
let made = 0;

export class ClusterHost implements AsyncDisposable {
  readonly dir: string;
  readonly registryAddrs: readonly Address[];
  readonly env: Readonly<Record<string, string>>;
  readonly #programs: Program[] = [];
  readonly #urls: readonly string[];
  readonly #options: EtcdOptions;
  #space: Promise<string> | undefined;
  #keeper: Bun.Subprocess | undefined;

  /** `urls`: those of the etcd. */
  constructor(urls: readonly string[], options: EtcdOptions = { ttlMs: 2_000 }) {
    this.#urls = urls;
    this.#options = options;
    this.dir = join(process.env["FURROW_RUNTIME_DIR"]!, `h${++made}`);
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    this.registryAddrs = [`unix://${this.dir}/registry@1.sock`, `tcp://127.0.0.1:${freePort()}`];
    this.env = {
      FURROW_RUNTIME_DIR: this.dir,
      FURROW_REGISTRY_ADDRS: this.registryAddrs.join(","),
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
      async ({ furrow, keep, setTiming, args: [options, waits, file, urls, etcdOptions] }) => {
        setTiming(waits as object);
        const { etcd } = (await import(file as string)) as typeof import("../../src/etcd.ts");
        const cluster = etcd(urls as string[], etcdOptions as object);
        keep["actor"] = await furrow.openRootActor({ cluster, ...(options as object) });
      },
      { name, enableTransports: ["unix", "tcp"], ...options },
      timing,
      etcdFile,
      this.#urls,
      this.#options,
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
