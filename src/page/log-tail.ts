/** Follows what one actor writes, as its parent keeps it. */
import type { Registration } from "../discovery/registration.ts";
import { asError } from "../errors.ts";
import type { LogGap, LogLine } from "../tree/logs.ts";
import { connect } from "./probe.ts";
import type { LogLineInfo, LogMessage } from "./protocol.ts";
import type { Turns } from "./turns.ts";

/** How many lines of the past are sent. */
const tail = 200;
/** Longer lines are cut. */
const maxLineChars = 2_000;
/** Lines that arrive within this time are sent together. */
const gatherMs = 100;

export class LogTail {
  readonly uuid: string;
  readonly #send: (message: LogMessage) => void;
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #gathered: LogLineInfo[] = [];
  #isFirst = true;
  #timer: Timer | undefined;

  /** `parent`: undefined if it isn't registered. */
  constructor(
    uuid: string,
    parent: Registration | undefined,
    dials: Turns,
    send: (message: LogMessage) => void,
  ) {
    this.uuid = uuid;
    this.#send = send;
    this.#running = this.#run(parent, dials);
  }

  async end(): Promise<void> {
    this.#ended.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(parent: Registration | undefined, dials: Turns): Promise<void> {
    if (parent === undefined) {
      this.#tell("a root's output goes to its own terminal");
      return;
    }
    const { signal } = this.#ended;
    try {
      await using portal = await connect(parent, signal, dials);
      if (portal === undefined) return;
      this.#flush();
      const options = { uuid: this.uuid, tail, follow: true };
      const lines = portal.with({ signal }).stream["furrow.logs"](options);
      for await (const line of lines) this.#gather(line);
    } catch (error) {
      if (!signal.aborted) this.#tell(`the log can't be read (${asError(error).name})`);
    } finally {
      clearTimeout(this.#timer);
    }
  }

  #gather(line: LogLine | LogGap): void {
    if (line.type === "missed") {
      this.#gathered.push({ at: Date.now(), stream: "stderr", text: `… ${line.lines} lines left out` });
    } else {
      const { time, stream, text } = line;
      const cut = text.length > maxLineChars ? `${text.slice(0, maxLineChars)} …` : text;
      this.#gathered.push({ at: time, stream, text: Bun.stripANSI(cut) });
    }
    if (this.#gathered.length > tail) this.#gathered.shift();
    this.#timer ??= setTimeout(() => this.#flush(), gatherMs);
  }

  #flush(): void {
    this.#timer = undefined;
    const lines = this.#gathered;
    this.#gathered = [];
    this.#send({ type: "log", uuid: this.uuid, isFirst: this.#isFirst, lines });
    this.#isFirst = false;
  }

  #tell(trouble: string): void {
    this.#send({ type: "log", uuid: this.uuid, isFirst: true, lines: [], trouble });
  }
}
