/** Serves the page to this machine's user: HTTP for the file and for actions, a WebSocket for everything live. */
import { asError } from "../errors.ts";
import type { Address } from "../transport/address.ts";
import { act, readAction } from "./actions.ts";
import { Feed } from "./feed.ts";
import { type Asked, Gate } from "./gate.ts";
import { contentPolicy, type PageFile } from "./page-file.ts";
import type { Hello } from "./protocol.ts";
import { maxUnsentBytes, PageViewer, type SocketData } from "./viewer.ts";

const hostname = "127.0.0.1";
const defaultIntervalMs = 1_000;
const defaultCrowd = 100;
/** More pages than anybody looks at. */
const maxViewers = 32;
/** What pages send is short: at most the uuids of some rows. */
const maxMessageBytes = 16_384;

export interface PageOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Whether a page may stop, drain and restart actors. */
  readonly mayAct: boolean;
  readonly file: PageFile;
  readonly registryAddrs: readonly Address[];
  /** Opens this process's client, where there may be no registrar yet; called again after it has failed. */
  readonly connect?: () => Promise<unknown>;
  /** How often each actor is looked at; default 1,000. */
  readonly intervalMs?: number;
  /** Of more actors than this, those whose rows aren't in sight are looked at less often; default 100. */
  readonly crowd?: number;
}

/** A page that is served. Disposing it ends the server, and all that the open pages show. */
export interface ServedPage extends AsyncDisposable {
  /** What to open; it works once. */
  readonly url: string;
  readonly port: number;
  /** How many actors are looked at: none while no page is open and visible. */
  readonly probeCount: number;
}

/**
 * Serves the page on 127.0.0.1. This process must have a client or an actor open, or else `connect` opens one.
 *
 * @throws {Error} when the port can't be bound
 */
export function servePage(options: PageOptions): ServedPage {
  return new PageServer(options);
}

class PageServer implements ServedPage {
  readonly #options: PageOptions;
  readonly #server: Bun.Server<SocketData>;
  readonly #gate: Gate;
  readonly #feed: Feed;
  readonly #ended = new AbortController();
  #viewers = 0;

  constructor(options: PageOptions) {
    this.#options = options;
    const { intervalMs = defaultIntervalMs, crowd = defaultCrowd, connect } = options;
    this.#feed = new Feed({ intervalMs, crowd, connect });
    this.#server = this.#listen(options.port);
    this.#gate = new Gate(hostname, this.port);
  }

  get port(): number {
    return this.#server.port!;
  }

  get url(): string {
    return this.#gate.link;
  }

  get probeCount(): number {
    return this.#feed.probeCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#server.stop(true);
    await this.#feed.end();
  }

  #listen(port: number): Bun.Server<SocketData> {
    try {
      return Bun.serve<SocketData>({
        hostname,
        port,
        maxRequestBodySize: maxMessageBytes,
        fetch: (request, server) => this.#answer(request, server),
        error: () => text(500, "the server failed"),
        websocket: {
          data: {},
          maxPayloadLength: maxMessageBytes,
          perMessageDeflate: false,
          // beyond it messages would be lost; the viewer ends the connection before that
          backpressureLimit: 4 * maxUnsentBytes,
          open: (socket) => {
            this.#viewers++;
            socket.data.viewer = new PageViewer(socket, this.#feed);
            socket.data.viewer.send(this.#hello());
          },
          message: (socket, message) => socket.data.viewer?.receive(message),
          close: (socket) => {
            this.#viewers--;
            socket.data.viewer?.close();
          },
        },
      });
    } catch (error) {
      throw new Error(
        `cannot serve the page on port ${port} of ${hostname}: ${asError(error).message}; --port takes another`,
        { cause: error },
      );
    }
  }

  #hello(): Hello {
    const { registryAddrs, mayAct } = this.#options;
    const { intervalMs } = this.#feed;
    return { type: "hello", registryAddrs, mayAct, intervalMs };
  }

  async #answer(request: Request, server: Bun.Server<SocketData>): Promise<Response | undefined> {
    const asked = this.#asked(request, server);
    const verdict = this.#gate.judge(asked);
    if (!verdict.isAdmitted) return text(verdict.status, verdict.reason);
    switch (this.#placeOf(asked.url)) {
      case "": {
        if (request.method !== "GET") return text(405, "use GET", { allow: "GET" });
        return this.#page(verdict.setCookie);
      }
      case "live": {
        if (!asked.isUpgrade) return text(426, "this is a WebSocket", { upgrade: "websocket" });
        if (this.#viewers >= maxViewers) return text(503, `${maxViewers} pages are open already`);
        return server.upgrade(request, { data: {} }) ? undefined : text(400, "this is a WebSocket");
      }
      case "action": {
        if (request.method !== "POST") return text(405, "use POST", { allow: "POST" });
        // by default Bun closes a connection that is silent for 10 s, and a drain may take longer; each action has its own bound
        server.timeout(request, 0);
        return await this.#act(request);
      }
      default:
        return text(404, "not found");
    }
  }

  #asked(request: Request, server: Bun.Server<SocketData>): Asked {
    return {
      method: request.method,
      url: new URL(request.url),
      headers: request.headers,
      isUpgrade: request.headers.get("upgrade") !== null,
      from: server.requestIP(request),
    };
  }

  /** The part of the path after the one that only our browser knows. */
  #placeOf({ pathname }: URL): string {
    const { path } = this.#gate;
    return pathname.startsWith(path) ? pathname.slice(path.length) : pathname.slice(1);
  }

  #page(setCookie: string | undefined): Response {
    const { file } = this.#options;
    return new Response(file.html, {
      headers: {
        ...safeHeaders,
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": contentPolicy(file, `ws://${hostname}:${this.port}`),
        ...(setCookie !== undefined && { "set-cookie": setCookie }),
      },
    });
  }

  async #act(request: Request): Promise<Response> {
    if (!this.#options.mayAct)
      return text(403, "this page only looks: start furrow ui with --allow-actions to let it stop actors");
    const wanted = readAction(await request.json().catch(() => undefined));
    if (wanted === undefined) return text(400, "the body must name an action and the uuid of an actor");
    const result = await act(wanted, (uuid) => this.#feed.find(uuid), this.#ended.signal);
    return Response.json(result, { status: result.done ? 200 : 409, headers: safeHeaders });
  }
}

const safeHeaders = {
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
} as const;

function text(status: number, line: string, headers: Record<string, string> = {}): Response {
  return new Response(`furrow: ${line}\n`, {
    status,
    headers: { ...safeHeaders, "content-type": "text/plain; charset=utf-8", ...headers },
  });
}
