/** Watches the files of a program. */
import { existsSync, type FSWatcher, watch } from "node:fs";
import { dirname, join } from "node:path";

/** Editors write a file in several steps, and several files at once. */
const settleMs = 50;

export class Changes implements Disposable {
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #changed = new Set<string>();
  /** Those that are watched. */
  files: ReadonlySet<string> = new Set();
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;

  /** From now on, these files are watched, and no others. */
  follow(files: ReadonlySet<string>): void {
    this.files = files;
    const folders = new Set(Array.from(files, dirname));
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) {
      if (this.#watchers.has(folder) || !existsSync(folder)) continue;
      // the folder, because a file that an editor replaces is another file
      const watcher = watch(folder, (_, name) => name !== null && this.#note(join(folder, name)));
      watcher.on("error", () => {}); // the folder is gone
      this.#watchers.set(folder, watcher);
    }
  }

  /** Resolves with the files that have changed; with none when the signal is aborted. */
  async next(signal: AbortSignal): Promise<readonly string[]> {
    while (!signal.aborted && (this.#changed.size === 0 || this.#timer !== undefined)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
    }
    if (signal.aborted) return [];
    const changed = Array.from(this.#changed);
    this.#changed.clear();
    return changed;
  }

  [Symbol.dispose](): void {
    this.follow(new Set());
    clearTimeout(this.#timer);
  }

  #note(path: string): void {
    if (!this.files.has(path)) return;
    this.#changed.add(path);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#wake?.();
    }, settleMs);
  }
}
