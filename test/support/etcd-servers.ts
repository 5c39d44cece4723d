/** etcd servers of a test, on loopback, each with a folder of its own. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { TlsFiles } from "../../src/transport/tls.ts";
import { freePort, until } from "./world.ts";

const program = Bun.which("etcd", { PATH: `${process.env["PATH"] ?? ""}:/usr/bin:/usr/local/bin` });

/** Why tests with etcd are skipped here; undefined if they aren't. */
export const lacksEtcd: string | undefined =
  program === null ? "etcd is not on the PATH (apt-get install etcd-server)" : undefined;
if (lacksEtcd !== undefined) console.warn(`skipped: ${lacksEtcd}`);

export interface ServerOptions {
  /** Of the servers; clients need a certificate of the same authority. */
  readonly tls?: TlsFiles;
  readonly args?: readonly string[];
}

interface Server {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  process: Bun.Subprocess | undefined;
}

export class EtcdServers implements AsyncDisposable {
  readonly #dir: string;
  readonly #options: ServerOptions;
  readonly #servers: readonly Server[];

  private constructor(count: number, options: ServerOptions) {
    mkdirSync(process.env["FURROW_RUNTIME_DIR"]!, { recursive: true, mode: 0o700 });
    this.#dir = mkdtempSync(join(process.env["FURROW_RUNTIME_DIR"]!, "etcd-"));
    this.#options = options;
    this.#servers = Array.from({ length: count }, (_, index) => ({
      name: `n${index}`,
      clientPort: freePort(),
      peerPort: freePort(),
      process: undefined,
    }));
  }

  /** Starts one or three servers, and waits until they answer. */
  static async start(count: number, options: ServerOptions = {}): Promise<EtcdServers> {
    for (let attempt = 1; ; attempt++) {
      const servers = new EtcdServers(count, options);
      try {
        await servers.up(...servers.all);
        return servers;
      } catch (error) {
        await servers[Symbol.asyncDispose]();
        if (attempt === 3) throw error;
        // a port that was free may be taken by the time that a server binds it
        console.warn(`etcd starts again: ${String(error)}`);
      }
    }
  }

  get all(): number[] {
    return this.#servers.map((_, index) => index);
  }

  get ports(): number[] {
    return this.#servers.map(({ clientPort }) => clientPort);
  }

  get urls(): string[] {
    return this.#servers.map((server) => this.#url(server));
  }

  /** Starts servers that aren't running, and waits until all that are running answer. */
  async up(...indices: readonly number[]): Promise<void> {
    for (const index of indices) this.#spawn(this.#servers[index]!);
    await Promise.all(indices.map((index) => this.healthy(index)));
  }

  /** Starts servers without waiting. */
  begin(...indices: readonly number[]): void {
    for (const index of indices) this.#spawn(this.#servers[index]!);
  }

  healthy(index: number): Promise<void> {
    return until(async () => {
      const { process, name } = this.#servers[index]!;
      if (process !== undefined && process.exitCode !== null)
        throw new Error(`etcd ${name} ended with code ${process.exitCode}`);
      try {
        const answer = await this.#fetch(this.#servers[index]!, "/health");
        return ((await answer.json()) as { health: string }).health === "true";
      } catch {
        return false;
      }
    }, 30_000);
  }

  /** Ends servers with SIGKILL. */
  async kill(...indices: readonly number[]): Promise<void> {
    const ended = indices.map(async (index) => {
      const { process } = this.#servers[index]!;
      process?.kill("SIGKILL");
      await process?.exited;
      this.#servers[index]!.process = undefined;
    });
    await Promise.all(ended);
  }

  freeze(index: number): void {
    this.#servers[index]!.process!.kill("SIGSTOP");
  }

  thaw(index: number): void {
    this.#servers[index]!.process!.kill("SIGCONT");
  }

  /** Removes all that a server has stored. It must not be running. */
  wipe(index: number): void {
    rmSync(this.#folder(index), { recursive: true, force: true });
  }

  #folder(index: number): string {
    return join(this.#dir, this.#servers[index]!.name);
  }

  #copy(index: number): string {
    return `${this.#folder(index)}.copy`;
  }

  /** Keeps a copy of all that a server has stored, or puts the last copy in its place. It must not be running. */
  copy(index: number): void {
    cpSync(this.#folder(index), this.#copy(index), { recursive: true });
  }

  restore(index: number): void {
    this.wipe(index);
    cpSync(this.#copy(index), this.#folder(index), { recursive: true });
  }

  async leader(): Promise<number> {
    const answers = await Promise.all(
      this.all.map(
        (index) =>
          this.post(index, "/v3/maintenance/status", {}) as Promise<{
            header: { member_id: string };
            leader: string;
          }>,
      ),
    );
    return answers.findIndex(({ header, leader }) => header.member_id === leader);
  }

  /** Forgets all history up to now. */
  async compact(index = 0): Promise<void> {
    const { header } = (await this.post(index, "/v3/kv/range", {
      key: btoa("x"),
    })) as { header: { revision: string } };
    await this.post(index, "/v3/kv/compaction", { revision: header.revision, physical: true });
  }

  /** Calls etcd's JSON interface. */
  async post(index: number, path: string, body: unknown, token?: string): Promise<unknown> {
    const answer = await this.#fetch(this.#servers[index]!, path, {
      method: "POST",
      body: JSON.stringify(body),
      ...(token === undefined ? {} : { headers: { authorization: token } }),
    });
    const value: unknown = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(value)}`);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill(...this.all);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** A certificate has a name in place of the address. */
  #url({ clientPort }: Server): string {
    return this.#options.tls === undefined
      ? `http://127.0.0.1:${clientPort}`
      : `https://localhost:${clientPort}`;
  }

  async #fetch(server: Server, path: string, init: BunFetchRequestInit = {}): Promise<Response> {
    const { tls } = this.#options;
    const files =
      tls === undefined
        ? {}
        : { tls: { ca: Bun.file(tls.ca), cert: Bun.file(tls.cert), key: Bun.file(tls.key) } };
    // a connection that is kept alive would outlive its test
    const headers = { ...(init.headers as Record<string, string> | undefined), connection: "close" };
    return fetch(`${this.#url(server)}${path}`, {
      ...init,
      ...files,
      headers,
      signal: AbortSignal.timeout(5_000),
    });
  }

  #spawn(server: Server): void {
    if (server.process !== undefined) return;
    const { tls, args = [] } = this.#options;
    const peers = this.#servers.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`);
    const security =
      tls === undefined
        ? []
        : [
            `--cert-file=${tls.cert}`,
            `--key-file=${tls.key}`,
            `--trusted-ca-file=${tls.ca}`,
            "--client-cert-auth",
          ];
    server.process = Bun.spawn(
      [
        program!,
        `--name=${server.name}`,
        `--data-dir=${join(this.#dir, server.name)}`,
        `--listen-client-urls=${this.#url(server).replace("localhost", "127.0.0.1")}`,
        `--advertise-client-urls=${this.#url(server)}`,
        `--listen-peer-urls=http://127.0.0.1:${server.peerPort}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${server.peerPort}`,
        `--initial-cluster=${peers.join(",")}`,
        "--logger=zap",
        "--log-level=error",
        "--log-outputs=/dev/null",
        ...security,
        ...args,
      ],
      { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: process.env },
    );
  }
}
