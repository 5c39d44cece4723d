/**
 * In an actor under `furrow dev`: watches the files that the actor has loaded, and has its parent replace it when one
 * changes. The old process serves until the new one is ready; if that can't start, the old one stays.
 */
import { existsSync, type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname, extname, join, relative } from "node:path";

import type { Runtime } from "../actor/runtime.ts";
import type { Peer } from "../channel/peer.ts";
import { asError } from "../errors.ts";
import { RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { programFiles } from "./modules.ts";

/** Editors write a file in several steps, and several files at once. */
const settleMs = 50;
const scriptFiles = /\.[cm]?[jt]sx?$/;

export function reloadOnChange(runtime: Runtime, parent: Peer<Session>): void {
  const reloader = new Reloader(runtime, parent);
  reloader.look();
  runtime.ending.onEnded(() => reloader.stop());
}

class Reloader {
  readonly #runtime: Runtime;
  readonly #parent: Peer<Session>;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #changed = new Set<string>();
  #timer: Timer | undefined;
  #isReloading = false;

  constructor(runtime: Runtime, parent: Peer<Session>) {
    this.#runtime = runtime;
    this.#parent = parent;
  }

  /** Watches the folders of all files that have been loaded until now. */
  look(): void {
    for (const folder of new Set(Array.from(loadedFiles(), dirname))) {
      if (this.#watchers.has(folder) || !existsSync(folder)) continue;
      const watcher = watch(folder, (_, name) => name !== null && this.#note(join(folder, name)));
      watcher.on("error", () => {}); // the folder is gone
      this.#watchers.set(folder, watcher);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #note(path: string): void {
    this.look();
    if (!loadedFiles().has(path)) return;
    this.#changed.add(path);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#reload(), settleMs);
  }

  async #reload(): Promise<void> {
    if (this.#isReloading || this.#runtime.signal.aborted) return;
    const changed = Array.from(this.#changed).filter(existsSync);
    this.#changed.clear();
    if (changed.length === 0) return;
    const { name, id } = this.#runtime;
    const files = changed.map((path) => relative(process.cwd(), path)).join(", ");
    const fault = changed.map(faultOf).find((text) => text !== undefined);
    if (fault !== undefined) {
      tell(`actor "${name}" goes on as it was: ${fault}`);
      return;
    }
    tell(`reloading actor "${name}": ${files} changed`);
    this.#isReloading = true;
    try {
      const { run } = new RemotePortal(this.#parent.handler);
      await (run as unknown as Record<string, (uuid: string) => Promise<unknown>>)["furrow.replace"]!(
        id.uuid,
      );
    } catch (error) {
      if (!this.#runtime.signal.aborted) tell(`actor "${name}" goes on as it was: ${asError(error).message}`);
    } finally {
      this.#isReloading = false;
      if (this.#changed.size > 0) void this.#reload();
    }
  }
}

/** The program's own files that this process has loaded, without those of packages. */
function loadedFiles(): Set<string> {
  return new Set(programFiles().filter((path) => !path.includes("/node_modules/")));
}

/** Why a source can't be loaded, if its syntax says so. */
function faultOf(path: string): string | undefined {
  if (!scriptFiles.test(path)) return undefined;
  const loader = /\.[cm]?ts$/.test(path) ? "ts" : extname(path) === ".tsx" ? "tsx" : "jsx";
  try {
    new Bun.Transpiler({ loader }).scan(readFileSync(path, "utf8"));
    return undefined;
  } catch (error) {
    const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
    const where = relative(process.cwd(), path);
    if (!(first instanceof BuildMessage) || first.position === null)
      return `${where}: ${asError(first).message}`;
    return `${where}:${first.position.line}:${first.position.column}: ${first.message}`;
  }
}

function tell(text: string): void {
  process.stderr.write(`furrow: ${text}\n`);
}
