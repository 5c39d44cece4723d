/**
 * The spare processes of a nursery with the option `spares`: each has loaded furrow and waits for its orders, so that an actor
 * starts in it without the time that a new process takes. `spare-main.ts` is what runs in one.
 */
import type { Runtime } from "../actor/runtime.ts";
import { sleep } from "../deadline.ts";
import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import { rosterFile, socketDir } from "../discovery/registry-files.ts";
import { removeDeadSocket } from "../transport/dead-sockets.ts";
import { SharedLock } from "../transport/flock.ts";
import { type Launch, type LaunchedProcess, launchOfSpare, startProcess, stdoutOf } from "./launch.ts";
import { openOrders, ordersFd, rehearsalPath } from "./orders.ts";
import { type OutputMode, treeSettings } from "./settings.ts";
import { isStarting } from "./starting.ts";

const log = logger("tree");

/** How long to leave the processors to actors that are starting, or have just started. */
const calmMs = 10;
/** A spare that ends sooner than this may do so for a reason that the next one has, too. */
const quickMs = 10_000;
/** One that takes longer to load doesn't keep others from being started. */
const longestLoadMs = 10_000;
/** The wait after such an end; it doubles each time. */
const retryMs = 100;
/** After so many of them in a row, the next one waits for `pauseMs`. */
const maxQuickEnds = 3;
const pauseMs = 60_000;

/** The nursery. */
export interface SparesHost {
  readonly runtime: Runtime;
  /** Aborted when the nursery ends. */
  readonly signal: AbortSignal;
  readonly output: OutputMode | undefined;
  /** How many to keep. */
  readonly spares: number;
}

export class Spares {
  /** Resolves when the nursery has ended, and its spares have been reaped. */
  readonly ended: Promise<void>;
  readonly #host: SparesHost;
  /** See `SpareInit`. */
  readonly #dir: string | null;
  /** The oldest first. */
  readonly #spares = new Set<Spare>();
  #isFilling = false;
  #quickEnds = 0;

  /** @throws {AddressError} when the directory of the actors' sockets can't be used */
  constructor(host: SparesHost) {
    this.#host = host;
    const { runtime } = host;
    const { transports } = treeSettings.of(runtime);
    this.#dir = transports.includes("unix") ? socketDir(runtime.registryAddrs) : null;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    const end = (): void => resolve(this.#endAll());
    host.signal.addEventListener("abort", end, { once: true });
    this.#refill();
  }

  /** A process to start an actor in as `launch` says, if there is one; it has its orders. */
  take(launch: Launch): Spare | undefined {
    const spare = this.#spares.values().find((one) => one.suits(launch));
    if (spare === undefined) {
      this.#renew();
      return undefined;
    }
    this.#spares.delete(spare);
    this.#quickEnds = 0;
    spare.order(launch.init);
    this.#refill();
    return spare;
  }

  /** Ends those that no start suits any more: this process has another environment or working directory now. */
  #renew(): void {
    const now = this.#launchNow();
    const outdated = Array.from(this.#spares).filter((spare) => !spare.suits(now));
    if (outdated.length === 0) return;
    log.info?.(`${outdated.length} spare processes began with another environment: replacing them`);
    for (const spare of outdated) {
      this.#spares.delete(spare);
      void spare.end();
    }
    this.#refill();
  }

  /** @throws {SpawnError} when none can be started */
  #launchNow(): Launch {
    return launchOfSpare({ spare: this.#dir }, this.#host.output);
  }

  #refill(): void {
    if (!this.#isFilling) void outsideTasks(() => this.#fill());
  }

  /** Starts one after the other until there are enough. */
  async #fill(): Promise<void> {
    const { runtime, signal, spares } = this.#host;
    this.#isFilling = true;
    try {
      while (this.#spares.size < spares) {
        await sleep(this.#waitMs(), signal);
        if (signal.aborted || runtime.isFinishing) return;
        if (!isStarting()) await this.#start();
      }
    } catch {
      // the nursery has ended
    } finally {
      this.#isFilling = false;
    }
  }

  #waitMs(): number {
    if (this.#quickEnds >= maxQuickEnds) return pauseMs;
    return this.#quickEnds === 0 ? calmMs : retryMs * 2 ** (this.#quickEnds - 1);
  }

  /** Starts one; resolves when it has loaded everything, or has ended. */
  async #start(): Promise<void> {
    let spare: Spare;
    try {
      spare = new Spare(this.#launchNow(), this.#dir);
    } catch (error) {
      this.#onQuickEnd(`cannot be started: ${asError(error).message}`);
      return;
    }
    this.#spares.add(spare);
    void spare.ended.then((how) => this.#onEnd(spare, how));
    await Promise.race([spare.loaded, sleep(longestLoadMs, this.#host.signal)]);
  }

  #onEnd(spare: Spare, how: string): void {
    // otherwise it's an actor, or the nursery has ended it
    if (!this.#spares.delete(spare)) return;
    void spare.end();
    if (performance.now() - spare.startedAt < quickMs) this.#onQuickEnd(`ended (${how})`);
    else this.#quickEnds = 0;
    this.#refill();
  }

  #onQuickEnd(what: string): void {
    this.#quickEnds++;
    log.info?.(`a spare process ${what}`);
    if (this.#quickEnds === maxQuickEnds)
      log.warn?.(`spare processes don't last: the last of ${maxQuickEnds} ${what}`);
  }

  async #endAll(): Promise<void> {
    const all = Array.from(this.#spares);
    this.#spares.clear();
    await Promise.all(all.map((spare) => spare.end()));
  }
}

export class Spare {
  readonly process: LaunchedProcess;
  readonly startedAt: number = performance.now();
  /** Resolves when it has loaded everything, or has ended. */
  readonly loaded: Promise<unknown>;
  /** Resolves when the process has been reaped, with how it ended. */
  readonly ended: Promise<string>;
  readonly #launch: Launch;
  readonly #dir: string | null;
  readonly #cwd: string | undefined = workingDirectory();
  /** Undefined if it can't be opened: then the process is ended. */
  readonly #socket: Promise<Bun.Socket | undefined>;
  /** How many bytes it has sent. */
  #heard = 0;

  /** `dir`: see `SpareInit`. @throws when the process can't be started */
  constructor(launch: Launch, dir: string | null) {
    this.#launch = launch;
    this.#dir = dir;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.process = startProcess(launch, "socket-fd");
    this.ended = this.#watch();
    this.loaded = Promise.race([promise, this.ended]);
    this.#socket = openOrders(this.process.stdio[ordersFd]!, (bytes, socket) => {
      this.#heard += bytes.length;
      resolve();
      if (this.#hasOrders) socket.end();
    }).catch(() => {
      this.process.kill("SIGKILL");
      return undefined;
    });
  }

  get #hasOrders(): boolean {
    return this.#heard >= 2;
  }

  /** Whether it has ended before it had its orders. */
  get wasLost(): boolean {
    return this.#hasEnded && !this.#hasOrders;
  }

  get #hasEnded(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Whether it is what `launch` would start, save for the name and the orders. */
  suits({ command, env, cwd, output }: Launch): boolean {
    const own = this.#launch;
    return (
      !this.#hasEnded &&
      cwd === undefined &&
      workingDirectory() === this.#cwd &&
      stdoutOf(output) === stdoutOf(own.output) &&
      Bun.deepEquals([command, env], [own.command, own.env])
    );
  }

  /** Makes it an actor; see `ChildInit`. */
  order(init: string): void {
    const line = Buffer.from(`${init}\n`);
    void this.#socket.then((socket) => {
      // more than the system takes at once: an ordinary process takes its place
      if (socket !== undefined && socket.write(line) < line.length) this.process.kill("SIGKILL");
    });
  }

  /** Ends it, if it hasn't ended; resolves when the process has been reaped. */
  async end(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
    const { stdout, stderr } = this.process;
    // unread, they would stay open until they are collected
    await Promise.all([stderr.cancel(), stdout instanceof ReadableStream && stdout.cancel()]);
  }

  async #watch(): Promise<string> {
    await this.process.exited;
    (await this.#socket)?.terminate();
    this.#removeFiles();
    const { exitCode, signalCode } = this.process;
    return signalCode === null ? `code ${exitCode}` : String(signalCode);
  }

  /** One that is killed while it rehearses leaves files behind. */
  #removeFiles(): void {
    if (this.#dir === null) return;
    try {
      const path = rehearsalPath(this.#dir, this.process.pid);
      removeDeadSocket(path);
      SharedLock.sweep(rosterFile(`unix://${path}`));
    } catch (error) {
      log.info?.(`files of a spare process: ${asError(error).message}`);
    }
  }
}

/** Undefined if it has been removed. */
function workingDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}
