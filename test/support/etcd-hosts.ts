/** An etcd whose servers run on hosts of a test, one on each. */
import { linesOf } from "./command-line.ts";
import type { Host } from "./netns.ts";

const program = Bun.which("etcd", { PATH: `${process.env["PATH"] ?? ""}:/usr/bin:/usr/local/bin` });
const clientPort = 2379;
const peerPort = 2380;

/** Either release's word for it. */
const readyPattern = /ready to serve client requests|serving client traffic/;

export class EtcdOnHosts {
  readonly #hosts: readonly Host[];
  readonly #processes = new Map<Host, Bun.Subprocess>();

  private constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
  }

  /** Starts a server on each of the hosts; resolves when they serve. They end with their hosts. */
  static async start(...hosts: readonly Host[]): Promise<EtcdOnHosts> {
    const etcd = new EtcdOnHosts(hosts);
    await Promise.all(hosts.map((host) => etcd.begin(host)));
    return etcd;
  }

  /** For `etcd(urls)`, or `$FURROW_CLUSTER`. */
  get urls(): string {
    return this.#hosts.map(({ address }) => `http://${address}:${clientPort}`).join(",");
  }

  /** Starts the server of a host where none runs; resolves when it serves, which needs a majority. What it had stored is still there. */
  async begin(host: Host): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const own = `http://${host.address}`;
    const server = host.spawn(
      [
        program!,
        `--name=${host.name}`,
        `--data-dir=${host.runtimeDir}/etcd`,
        `--listen-client-urls=${own}:${clientPort}`,
        `--advertise-client-urls=${own}:${clientPort}`,
        `--listen-peer-urls=${own}:${peerPort}`,
        `--initial-advertise-peer-urls=${own}:${peerPort}`,
        `--initial-cluster=${this.#hosts.map(({ name, address }) => `${name}=http://${address}:${peerPort}`).join(",")}`,
        "--logger=zap",
        "--log-outputs=stderr",
      ],
      { env: process.env, stdio: ["ignore", "ignore", "pipe"] },
    );
    this.#processes.set(host, server);
    void (async () => {
      for await (const line of linesOf(server.stderr)) if (readyPattern.test(line)) resolve();
      reject(new Error(`etcd on ${host.name} has ended`));
    })();
    await promise;
  }

  /** Starts the server of a host again, if none runs; doesn't wait until it serves. */
  restart(host: Host): void {
    if (this.#processes.get(host)?.exitCode === null && this.#processes.get(host)?.signalCode === null)
      return;
    this.begin(host).catch(() => {});
  }

  /** Ends the server of a host with SIGKILL. */
  async kill(host: Host): Promise<void> {
    const server = this.#processes.get(host);
    server?.kill("SIGKILL");
    await server?.exited;
    this.#processes.delete(host);
  }

  freeze(host: Host): void {
    this.#processes.get(host)?.kill("SIGSTOP");
  }

  thaw(host: Host): void {
    this.#processes.get(host)?.kill("SIGCONT");
  }
}
