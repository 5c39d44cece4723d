/** An open page, as the server sees it. */
import type { Feed, Viewer } from "./feed.ts";
import type { ServerMessage, ShowMessage } from "./protocol.ts";

export interface SocketData {
  viewer?: PageViewer;
}

/** With so much unsent, samples are left out; with so much more, the page gets nothing any more, and connects again. */
const slowBytes = 1 << 20;
export const maxUnsentBytes: number = 16 << 20;
const tryAgainLater = 1013;
const malformed = 1007;

export class PageViewer implements Viewer {
  isVisible = false;
  selected: string | null = null;
  wantsLog = false;
  inSight: ReadonlySet<string> = new Set();
  readonly #socket: Bun.ServerWebSocket<SocketData>;
  readonly #feed: Feed;
  #isClosed = false;

  constructor(socket: Bun.ServerWebSocket<SocketData>, feed: Feed) {
    this.#socket = socket;
    this.#feed = feed;
  }

  send(message: ServerMessage, isPassing = false): void {
    if (this.#isClosed) return;
    const unsent = this.#socket.getBufferedAmount();
    if (isPassing && unsent > slowBytes) return;
    if (unsent > maxUnsentBytes) this.#socket.close(tryAgainLater, "the page is too slow");
    else this.#socket.send(JSON.stringify(message));
  }

  receive(data: string | Buffer): void {
    const shown = readShow(data);
    if (shown === undefined) {
      this.#socket.close(malformed, "unknown message");
      return;
    }
    const isFresh = shown.isVisible && !this.isVisible;
    this.isVisible = shown.isVisible;
    this.selected = shown.selected;
    this.wantsLog = shown.log;
    this.inSight = new Set(shown.inSight);
    this.#feed.update(this, isFresh);
  }

  close(): void {
    this.#isClosed = true;
    this.#feed.remove(this);
  }
}

function readShow(data: string | Buffer): ShowMessage | undefined {
  let message: unknown;
  try {
    message = JSON.parse(data.toString());
  } catch {
    return undefined;
  }
  if (typeof message !== "object" || message === null) return undefined;
  const { type, isVisible, selected, log, inSight } = message as Record<string, unknown>;
  if (type !== "show" || typeof isVisible !== "boolean" || typeof log !== "boolean") return undefined;
  if (selected !== null && typeof selected !== "string") return undefined;
  if (!Array.isArray(inSight) || !inSight.every((uuid) => typeof uuid === "string")) return undefined;
  return { type, isVisible, selected, log, inSight };
}
