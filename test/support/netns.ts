/**
 * Machines for tests: each host is a network namespace and a mount namespace of its own, with a cable to a switch in
 * another namespace. So each has its own host id, its own loopback, and its own files in the runtime directory, although
 * that has the same path on all of them.
 *
 * The namespaces have no names: they last as long as the processes in them, and those end with the test's process,
 * however it ends. Nothing is left to clean up after a test that was killed.
 */
import { mkdirSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { Address, TlsFiles } from "../../src/index.ts";
import { Authority, type CertificateOptions, writeTls } from "./certificates.ts";
import { linesOf } from "./command-line.ts";
import type { setTiming } from "./timing.ts";
import { Program } from "./world.ts";

/** Why there can't be hosts here, as the message of tests that are skipped; undefined where there can be. */
export const noHosts: string | undefined = faultHere();
if (noHosts !== undefined) console.warn(`tests with several hosts are skipped: ${noHosts}`);

function faultHere(): string | undefined {
  if (process.platform !== "linux") return "network namespaces need linux";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  const packages = { ip: "iproute2", unshare: "util-linux", nsenter: "util-linux", mount: "mount" };
  for (const [command, name] of Object.entries(packages)) {
    if (Bun.which(command) === null) return `there is no ${command} command: apt-get install ${name}`;
  }
  const script = "ip link add br0 type bridge && ip link add v0 type veth peer name v1";
  const { exitCode, stderr } = Bun.spawnSync(["unshare", "--net", "--mount", "sh", "-c", script], {
    stdout: "ignore",
    stderr: "pipe",
  });
  return exitCode === 0 ? undefined : `no namespaces with a bridge here: ${stderr.toString().trim()}`;
}

/**
 * What keeps a namespace: it waits for the end of its input, which comes with the end of the test's process at the
 * latest, and kills all that is left there.
 */
const keeperScript = `
mount -t tmpfs -o mode=0700 furrow "$0" && ip link set lo up && echo up && read -r _
own=$(readlink /proc/self/ns/net)
for dir in /proc/[0-9]*; do
  pid=\${dir#/proc/}
  [ "$(readlink "$dir/ns/net")" = "$own" ] && [ "$pid" != $$ ] && kill -9 "$pid"
done
exit 0
`;

/** A network and a mount namespace. */
class Space {
  readonly #keeper: Bun.Subprocess<"pipe", "pipe", "ignore">;

  private constructor(keeper: Bun.Subprocess<"pipe", "pipe", "ignore">) {
    this.#keeper = keeper;
  }

  /** `dir`: a directory that has files of its own there. */
  static async open(dir: string): Promise<Space> {
    const keeper = Bun.spawn(["unshare", "--net", "--mount", "sh", "-c", keeperScript, dir], {
      env: { PATH: process.env["PATH"] },
      stdio: ["pipe", "pipe", "ignore"],
    });
    const { value } = await linesOf(keeper.stdout).next();
    if (value !== "up") throw new Error("cannot set up a namespace");
    return new Space(keeper);
  }

  get pid(): number {
    return this.#keeper.pid;
  }

  /** A command that runs another one there, in its own process. */
  get wrapper(): string[] {
    return ["nsenter", "--target", String(this.pid), "--net", "--mount", "--"];
  }

  /** Runs commands of `ip` there. */
  ip(...commands: readonly string[]): void {
    const { exitCode, stderr } = Bun.spawnSync([...this.wrapper, "ip", "-batch", "-"], {
      stdin: Buffer.from(commands.join("\n")),
      stdout: "ignore",
      stderr: "pipe",
    });
    if (exitCode !== 0) throw new Error(`ip: ${stderr.toString().trim()} (${commands.join("; ")})`);
  }

  /** The processes there, without the keeper. */
  get pids(): number[] {
    const own = readlinkSync(`/proc/${this.pid}/ns/net`);
    return readdirSync("/proc").flatMap((name) => {
      try {
        const isHere = Number(name) > 0 && readlinkSync(`/proc/${name}/ns/net`) === own;
        return isHere && Number(name) !== this.pid ? [Number(name)] : [];
      } catch {
        return []; // it has ended
      }
    });
  }

  /** Kills all processes there; resolves when they have ended. */
  async kill(): Promise<void> {
    for (let { pids } = this; pids.length > 0; { pids } = this) {
      for (const pid of pids) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // it has ended
        }
      }
      await Bun.sleep(2);
    }
  }

  async close(): Promise<void> {
    await this.kill();
    this.#keeper.kill("SIGKILL");
    await this.#keeper.exited;
  }
}

let opened = 0;

/** The hosts of a test, and the switches that connect them. */
export class Hosts implements AsyncDisposable {
  /** A directory that all hosts share; their runtime directories are in it, but those they don't share. */
  readonly dir: string;
  readonly authority: Authority = new Authority();
  readonly #switches: Space;
  readonly #hosts = new Map<string, Host>();
  readonly #networks = new Set<number>();
  #count = 0;

  private constructor(dir: string, switches: Space) {
    this.dir = dir;
    this.#switches = switches;
  }

  /** Makes hosts of these names on network 0. */
  static async open(...names: readonly string[]): Promise<Hosts> {
    const dir = join(process.env["FURROW_RUNTIME_DIR"]!, `hosts${++opened}`);
    mkdirSync(join(dir, "run"), { recursive: true, mode: 0o700 });
    const hosts = new Hosts(dir, await Space.open(join(dir, "run")));
    try {
      for (const host of await Promise.all(names.map((name) => hosts.#make(name)))) hosts.#connect(host, [0]);
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
    return hosts;
  }

  /** Adds a host with a cable to the switch of each of these networks. */
  async add(name: string, networks: readonly number[] = [0]): Promise<Host> {
    const host = await this.#make(name);
    this.#connect(host, networks);
    return host;
  }

  /** The host of that name. */
  get(name: string): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`there is no host "${name}"`);
    return host;
  }

  /** Files for `security.tls`, which all hosts can read. */
  tls(subject: string, options: CertificateOptions = {}): TlsFiles {
    const file = subject.replaceAll("/", "-");
    return writeTls(this.dir, file, this.authority.issue(subject, options));
  }

  async #make(name: string): Promise<Host> {
    const number = ++this.#count;
    const space = await Space.open(join(this.dir, "run"));
    const host = new Host(name, number, space, this.#switches, this);
    this.#hosts.set(name, host);
    return host;
  }

  #connect(host: Host, networks: readonly number[]): void {
    for (const network of networks) {
      if (!this.#networks.has(network)) {
        this.#networks.add(network);
        this.#switches.ip(`link add br${network} type bridge`, `link set br${network} up`);
      }
      host.connect(network);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#hosts.values(), (host) => host.close()));
    await this.#switches.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export class Host {
  readonly name: string;
  readonly space: Space;
  readonly hosts: Hosts;
  /** Its IPv4 addresses, one for each network: 10.77, the number of the network, the number of the host. */
  readonly addresses: string[] = [];
  /** The same of IPv6: fd77, the number of the network, the number of the host. */
  readonly addresses6: string[] = [];
  readonly #number: number;
  readonly #switches: Space;
  readonly #processes: Bun.Subprocess[] = [];
  /** The switches' ends of its cables, and the switch of each. */
  readonly #ports = new Map<string, string>();

  constructor(name: string, number: number, space: Space, switches: Space, hosts: Hosts) {
    this.name = name;
    this.space = space;
    this.#number = number;
    this.#switches = switches;
    this.hosts = hosts;
  }

  /** Its address in the first network. */
  get address(): string {
    return this.addresses[0]!;
  }

  /** Its runtime directory. Other hosts have other files at the same path. */
  get runtimeDir(): string {
    return join(this.hosts.dir, "run");
  }

  /** The runtime directory as this process sees it. */
  get outerDir(): string {
    return `/proc/${this.space.pid}/root${this.runtimeDir}`;
  }

  /** The address of a port of this host. */
  tcp(port: number): Address {
    return `tcp://${this.address}:${port}`;
  }

  /** The address of a socket in its runtime directory. */
  unix(name: string): Address {
    return `unix://${this.runtimeDir}/${name}.sock`;
  }

  /** Adds a cable to the switch of that network. */
  connect(network: number): void {
    const port = `h${this.#number}w${network}`;
    const device = `eth${network}`;
    const v4 = `10.77.${network}.${this.#number}`;
    const v6 = `fd77:${network}::${this.#number}`;
    this.#switches.ip(
      `link add ${port} type veth peer name ${device} netns ${this.space.pid}`,
      `link set ${port} master br${network} up`,
    );
    this.space.ip(
      `addr add ${v4}/24 dev ${device}`,
      `addr add ${v6}/64 dev ${device} nodad`,
      `link set ${device} up`,
    );
    this.#ports.set(port, `br${network}`);
    this.addresses.push(v4);
    this.addresses6.push(v6);
  }

  /** Runs a command there; it is killed with the host at the latest. */
  spawn<In extends Bun.Spawn.Writable, Out extends Bun.Spawn.Readable, Err extends Bun.Spawn.Readable>(
    command: readonly string[],
    options: Bun.Spawn.SpawnOptions<In, Out, Err>,
  ): Bun.Subprocess<In, Out, Err> {
    const process = Bun.spawn([...this.space.wrapper, ...command], options);
    this.#processes.push(process);
    return process;
  }

  /** Starts a program without an actor there. */
  async program(
    env: Readonly<Record<string, string>> = {},
    timing: Parameters<typeof setTiming>[0] = {},
  ): Promise<Program> {
    const program = new Program({ FURROW_RUNTIME_DIR: this.runtimeDir, ...env }, this.space.wrapper);
    this.#processes.push(program.process);
    await program.up;
    await program.run(({ setTiming, args: [waits] }) => void setTiming(waits as object), timing);
    return program;
  }

  /** Starts a program there whose root actor has this name, and a certificate of its own. */
  async actor(
    name: string,
    options: Readonly<Record<string, unknown>> = {},
    timing: Parameters<typeof setTiming>[0] = {},
    env: Readonly<Record<string, string>> = {},
  ): Promise<Program> {
    const program = await this.program(env, timing);
    await program.run(
      async ({ furrow, keep, args: [given] }) => {
        keep["actor"] = await furrow.openRootActor(given as object);
      },
      { name, security: { tls: this.hosts.tls(`${this.name}/${name}`) }, ...options },
    );
    return program;
  }

  /** Pulls the cables: the host notices that at its own end, the others only that nothing comes any more. */
  cutCable(): void {
    this.#switches.ip(...Array.from(this.#ports.keys(), (port) => `link set ${port} down`));
  }

  /** Puts the cables in again. */
  plug(): void {
    this.#switches.ip(...Array.from(this.#ports.keys(), (port) => `link set ${port} up`));
  }

  /** From now on the switches drop what the host sends and what it is sent; nobody is told. */
  blackhole(): void {
    this.#switches.ip(...Array.from(this.#ports.keys(), (port) => `link set ${port} nomaster`));
  }

  /** Ends that. */
  clear(): void {
    this.#switches.ip(...Array.from(this.#ports, ([port, bridge]) => `link set ${port} master ${bridge}`));
  }

  /** Ends all that runs there, and the host with it. */
  async close(): Promise<void> {
    await this.space.close();
    await Promise.all(this.#processes.map((process) => process.exited));
  }

  /** As if the power went: nothing leaves the host any more, and all its processes are gone. */
  async kill(): Promise<void> {
    this.blackhole();
    await this.space.kill();
  }
}
