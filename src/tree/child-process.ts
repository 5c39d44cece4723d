/** One child process: starts it, watches it, and stops it by escalating from cancel message to SIGTERM to SIGKILL. */
import type { Runtime } from "../actor/runtime.ts";
import type { Peer } from "../channel/peer.ts";
import { sleep, startTimer, wholeMs } from "../deadline.ts";
import {
  ActorDiedError,
  type ActorDeath,
  asError,
  NameTakenError,
  SpawnError,
  TimeoutError,
} from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { withoutFrames } from "../frames.ts";
import { logger } from "../log.ts";
import { decodeFailure } from "../rpc/remote-error.ts";
import type { Session } from "../rpc/session.ts";
import { parseAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { removeDeadSocket } from "../transport/dead-sockets.ts";
import { Kind } from "../wire/messages.ts";
import { freshSocketPaths } from "./bind.ts";
import { childId, type ChildInit } from "./child-init.ts";
import { withoutBanner } from "./inspector.ts";
import type { KeptOutput } from "./kept-output.ts";
import { type LaunchedProcess, type LaunchOptions, launchOf, startProcess } from "./launch.ts";
import { OutputTail } from "./output.ts";
import type { Spare, Spares } from "./spares.ts";

const log = logger("tree");

/** How long to wait for the rest of a dead child's stderr: another process may hold the pipe open. */
const stderrGraceMs = 200;

/** Signals that may be sent to a whole tree to end it. */
const stopSignals: ReadonlySet<string> = new Set(["SIGTERM", "SIGINT", "SIGHUP"]);
/** How much later than its child this process may receive such a signal. */
const groupStopMs = 50;
/** How many levels of descendants a child may request stop time for. */
const maxStopLevels = 8;

export class ChildProcess {
  readonly id: ActorId;
  readonly init: ChildInit;
  /** Resolves when the process has been reaped: with an error if that was a failure, otherwise with undefined. */
  readonly ended: Promise<Error | undefined>;
  readonly #runtime: Runtime;
  readonly #process: LaunchedProcess;
  /** Set if the process was a spare before. */
  readonly #spare: Spare | undefined;
  readonly #stderr: OutputTail;
  readonly #ready = Promise.withResolvers<void>();
  /** The error that the child reported before it ended. */
  #failure: Error | undefined;
  #started = false;
  #startFailed = false;
  #stillStopping = false;
  /** When its clean-up, and that of the actors below it, is over at the latest, as it reports. */
  #cleanUpEndsAt = 0;
  #stopping: Promise<void> | undefined;
  /** The signals that this side sent while the process was running. */
  readonly #sent = new Set<string>();

  /** @throws {SpawnError} when the process can't be started */
  constructor(
    runtime: Runtime,
    init: ChildInit,
    options: LaunchOptions,
    output?: KeptOutput,
    spares?: Spares,
  ) {
    this.#runtime = runtime;
    this.init = init;
    const launch = launchOf(init, options);
    const { output: mode, hasInspector } = launch;
    this.#spare = spares?.take(launch);
    try {
      this.#process = this.#spare?.process ?? startProcess(launch);
    } catch (error) {
      throw new SpawnError(`cannot start a process for actor "${init.name}": ${asError(error).message}`, {
        cause: error,
      });
    }
    this.id = childId(init, this.#process.pid, hostId());
    const kept = output?.open(this.id);
    const prefix = mode === "prefix" ? `${init.name}: ` : "";
    const sink = mode === "ignore" ? undefined : () => process.stderr;
    if (launch.debugger !== undefined) this.#tellDebugger(launch.debugger);
    const { stderr } = this.#process;
    const text = hasInspector ? withoutBanner(stderr, (address) => this.#tellDebugger(address)) : stderr;
    this.#stderr = new OutputTail(text, sink, prefix, kept?.stderr);
    const { stdout } = this.#process;
    if (stdout instanceof ReadableStream) new OutputTail(stdout, () => process.stdout, prefix, kept?.stdout);
    this.ended = this.#watch();
    log.info?.(`spawned ${describeActor(this.id)} as pid ${this.id.pid}`);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** The connection to it, if there is one. */
  get peer(): Peer<Session> | undefined {
    return this.#runtime.peers.get(this.id.uuid);
  }

  /** Whether it has started up. If it ends before that, it's a failed start, not a failed child. */
  get hasStarted(): boolean {
    return this.#started;
  }

  /** Whether `stop` has been called. */
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Whether the process was a spare, and ended before it had its orders: nothing of the actor has run in it. */
  get wasLost(): boolean {
    return this.#spare?.wasLost === true && !this.isStopping;
  }

  /** Called when the child reports that it has registered. */
  onReady(): void {
    // too late: the start has already been given up
    if (this.#startFailed) return;
    this.#started = true;
    this.#ready.resolve();
  }

  /**
   * Called when the child reports that it's still ending: its children are stopping, or its functions clean up. `neededMs`:
   * how much longer that may take, by the bounds that its program has set.
   */
  onStopping(neededMs: unknown): void {
    this.#stillStopping = true;
    if (typeof neededMs !== "number" || !(neededMs > 0)) return;
    this.#cleanUpEndsAt = performance.now() + neededMs;
    // this actor ends later for it, and reports that in turn
    this.#runtime.ending.expect(neededMs);
  }

  /**
   * Asks the child to drain without ending, while it still serves the actors `among`. Never rejects.
   */
  async drain(timeoutMs: number, among: readonly string[]): Promise<void> {
    const session = this.peer?.handler;
    if (session === undefined || !this.#started) return;
    try {
      await session.request([Kind.drain, 0, wholeMs(timeoutMs), among]);
    } catch (error) {
      log.info?.(`${describeActor(this.id)} did not drain: ${asError(error).message}`);
    }
  }

  /** Called when the child reports why it's ending. */
  onFailed(form: readonly unknown[]): void {
    const error = decodeFailure(form, this.id);
    this.#failure = error.name === "RemoteActorError" && error.cause instanceof Error ? error.cause : error;
  }

  /**
   * Waits until the child has started up.
   *
   * @throws {SpawnError} when it ends first (`cause`: its own error), or isn't ready within `timeoutMs`
   * @throws {NameTakenError} when it ends because a registrar refused its name
   */
  async started(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = startTimer(timeoutMs, () => reject(this.#hung(timeoutMs)));
    const onAbort = (): void => reject(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const died = this.ended.then((error) => {
      throw this.#startFailure(error);
    });
    try {
      await Promise.race([this.#ready.promise, died, promise]);
    } catch (error) {
      this.#startFailed = true;
      this.#started = false;
      throw error;
    } finally {
      died.catch(() => {});
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Has the child finish what runs, for at most `timeoutMs`, and end in order; then ends it as `stop` does. Resolves when it
   * has been reaped.
   */
  async retire(timeoutMs: number): Promise<void> {
    const session = this.peer?.handler;
    if (session !== undefined && this.#started && !this.isStopping) {
      const drained = session.request([Kind.drain, 0, wholeMs(timeoutMs)]).catch((error: unknown) => {
        log.info?.(`${describeActor(this.id)} did not drain: ${asError(error).message}`);
      });
      await Promise.race([drained, this.#endedWithin(timeoutMs + this.#runtime.limits.stopGraceMs)]);
    }
    await this.stop();
  }

  /** Ends the child, gently at first; resolves when it has been reaped. */
  stop(): Promise<void> {
    this.#stopping ??= this.#climb();
    return this.#stopping;
  }

  async #climb(): Promise<void> {
    const { stopGraceMs, stopTermMs } = this.#runtime.limits;
    const session = this.peer?.handler;
    if (session !== undefined) {
      // ignore the reply, or the loss of the connection: what counts is that the process ends
      session.request([Kind.stop, 0]).catch(() => {});
    }
    // a child that started and then lost its connection is already ending: give it time; #watch judges how it ended
    if (session !== undefined || this.#started) {
      if (await this.#endedGently(stopGraceMs)) return;
      log.warn?.(`${describeActor(this.id)} did not end within ${stopGraceMs} ms: sending SIGTERM`);
    }
    this.#signal("SIGTERM");
    if (await this.#endedWithin(stopTermMs)) return;
    log.warn?.(`${describeActor(this.id)} did not end within ${stopTermMs} ms of SIGTERM: sending SIGKILL`);
    this.#signal("SIGKILL");
    await this.ended;
  }

  /**
   * Waits `graceMs` for the child to end, and again each time that it reports to be still ending (see `onStopping`), so
   * that it isn't killed before it has stopped its own children. The total is bounded: enough for each of
   * `maxStopLevels` levels to run through all its stop steps, and for the clean-up that the child reports.
   */
  async #endedGently(graceMs: number): Promise<boolean> {
    const { stopTermMs } = this.#runtime.limits;
    const latest = performance.now() + maxStopLevels * (graceMs + stopTermMs);
    do {
      this.#stillStopping = false;
      if (await this.#endedWithin(graceMs)) return true;
    } while (this.#stillStopping && performance.now() < Math.max(latest, this.#cleanUpEndsAt + graceMs));
    return false;
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    this.#sent.add(signal);
    this.#process.kill(signal);
  }

  async #endedWithin(ms: number): Promise<boolean> {
    const timeout = new AbortController();
    try {
      return await Promise.race([this.ended.then(() => true), sleep(ms, timeout.signal).then(() => false)]);
    } catch {
      return true; // the sleep was cancelled
    } finally {
      timeout.abort();
    }
  }

  async #watch(): Promise<Error | undefined> {
    await this.#process.exited;
    const { exitCode, signalCode: raw } = this.#process;
    const signalCode = raw === null ? null : String(raw);
    // read this first: signals sent from now on can't have ended it
    const wanted = signalCode !== null && this.#sent.has(signalCode);
    this.#removeSockets();
    log.info?.(`${describeActor(this.id)} ended: ${signalCode ?? `code ${exitCode}`}`);
    await this.#stderr.closed(stderrGraceMs);
    if (this.#failure === undefined && (exitCode === 0 || wanted)) return undefined;
    if (this.#failure === undefined && signalCode !== null && (await this.#isOfGroupStop(signalCode)))
      return undefined;
    const death: ActorDeath = { exitCode, signal: signalCode, stderr: this.#stderr.text };
    return new ActorDiedError(this.id, death, { cause: this.#failure });
  }

  /**
   * Whether the signal that ended the child was also sent to this process, asking it to end: systemd and
   * `kill -- -<group>` signal the children too. A child that such a signal ends before this side could stop it hasn't
   * failed. This side may see the child's end before its own signal.
   */
  async #isOfGroupStop(signal: string): Promise<boolean> {
    const runtime = this.#runtime;
    if (!stopSignals.has(signal)) return false;
    const isEnding = (): boolean => runtime.signal.aborted || runtime.isFinishing;
    // a timer that is due fires before a pending signal is handled, and the signal is handled before the turn ends
    if (!isEnding()) await sleep(groupStopMs, runtime.signal).catch(() => {});
    if (!isEnding()) await new Promise((resolve) => setImmediate(resolve));
    return isEnding();
  }

  /** A child that was killed, or ended before it could clean up, leaves its socket files behind. */
  #removeSockets(): void {
    const { init, id } = this;
    const bound = init.bindAddrs.map(parseAddress);
    const paths = bound.flatMap((parsed) => (parsed.transport === "unix" ? [parsed.path] : []));
    if (bound.length === 0 && init.transports.includes("unix"))
      paths.push(...freshSocketPaths(init.registryAddrs, id));
    for (const path of paths) {
      try {
        removeDeadSocket(path);
      } catch (error) {
        log.warn?.(`socket file of ${describeActor(id)}: ${asError(error).message}`);
      }
    }
  }

  /** Printed, whatever becomes of the child's output: it was asked for, and it holds a port that is new each time. */
  #tellDebugger(address: string): void {
    const browser = address.replace(/^wss?:\/\//, "https://debug.bun.sh/#");
    process.stderr.write(
      `furrow: debugger of ${describeActor(this.id)} (pid ${this.id.pid}): ${address}, in a browser: ${browser}\n`,
    );
  }

  #startFailure(error: Error | undefined): SpawnError | NameTakenError {
    const own = this.#failure;
    // errors of its modules come as the cause of a SpawnError
    if (own instanceof NameTakenError) return own;
    const { name } = this.id;
    const why = own ? `${own.name}: ${own.message}` : (error?.message ?? "its process ended with code 0");
    const [text, cause] =
      own instanceof SpawnError
        ? [`actor "${name}": ${own.message}`, own.cause]
        : [`actor "${name}" did not start: ${why}`, own ?? error];
    return withoutFrames(() => new SpawnError(`${text}${this.#quoted()}`, { cause }));
  }

  #hung(timeoutMs: number): SpawnError {
    const where = this.init.registryAddrs.join(", ");
    const cause = new TimeoutError(
      "wait",
      `not ready within ${timeoutMs} ms (loading modules or registering at ${where})`,
    );
    return new SpawnError(`actor "${this.id.name}" did not start: ${cause.message}${this.#quoted()}`, {
      cause,
    });
  }

  #quoted(): string {
    const text = this.#stderr.text.trimEnd();
    return text === "" ? "" : `\n  its stderr ends with:\n${text.replace(/^/gm, "    ")}`;
  }
}
