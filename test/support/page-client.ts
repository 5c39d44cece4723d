/** Speaks to the server of the page as a browser does, or as one that means harm. */
import { connect } from "node:net";

import { pageFile } from "../../src/page/page-file.ts";
import type { ServerMessage, ShowMessage } from "../../src/page/protocol.ts";
import { type PageOptions, type ServedPage, servePage } from "../../src/page/server.ts";

/** Serves a page that is as short as can be. */
export function serve(options: Partial<PageOptions> = {}): ServedPage {
  return servePage({
    port: 0,
    mayAct: false,
    file: pageFile("<!doctype html><style>a{}</style><script>1</script>"),
    registryAddrs: [],
    intervalMs: 20,
    ...options,
  });
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Sends a request with exactly these headers over a socket of its own. */
export async function send(
  port: number,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body = "",
): Promise<RawAnswer> {
  const lines = Object.entries({ ...headers, connection: "close", "content-length": String(body.length) });
  const head = [`${method} ${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`)];
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const socket = connect(port, "127.0.0.1", () => socket.write(`${head.join("\r\n")}\r\n\r\n${body}`));
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => (text += String(chunk)));
  socket.on("error", reject);
  socket.on("close", () => resolve(text));
  // a WebSocket stays open after its answer
  if (headers["upgrade"] !== undefined)
    socket.on("data", () => text.includes("\r\n\r\n") && socket.destroy());
  await promise;
  const [top = "", ...rest] = text.split("\r\n\r\n");
  const [status = "", ...fields] = top.split("\r\n");
  return {
    status: Number(status.split(" ")[1]),
    headers: new Headers(
      fields.map((field): [string, string] => {
        const colon = field.indexOf(":");
        return [field.slice(0, colon), field.slice(colon + 1).trim()];
      }),
    ),
    text: rest.join("\r\n\r\n"),
  };
}

/** A browser that the link was opened in. */
export interface Admitted {
  readonly host: string;
  readonly origin: string;
  readonly path: string;
  readonly cookie: string;
}

/** Opens the link. */
export async function admit({ url }: Pick<ServedPage, "url">): Promise<Admitted> {
  const { host, port, origin, pathname, search } = new URL(url);
  const { status, headers } = await send(Number(port), "GET", pathname + search, { host });
  const [cookie = ""] = (headers.get("set-cookie") ?? "").split(";");
  if (status !== 200 || cookie === "") throw new Error(`the link gave ${status} and no cookie`);
  return { host, origin, path: pathname, cookie };
}

/** What asks for a WebSocket. */
export const upgrade = {
  upgrade: "websocket",
  connection: "Upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
} as const;

/** An open page. */
export class LivePage implements Disposable {
  readonly received: ServerMessage[] = [];
  /** All that was received, as text. */
  text = "";
  readonly closed: Promise<{ readonly code: number }>;
  readonly #socket: WebSocket;
  #more = Promise.withResolvers<void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      this.text += String(data);
      this.received.push(JSON.parse(String(data)) as ServerMessage);
      this.#more.resolve();
      this.#more = Promise.withResolvers<void>();
    });
    this.closed = new Promise((resolve) => socket.addEventListener("close", ({ code }) => resolve({ code })));
  }

  static async open({ origin, path, cookie }: Admitted): Promise<LivePage> {
    const options = { headers: { origin, cookie } };
    const socket = new WebSocket(
      `${origin.replace("http", "ws")}${path}live`,
      options as unknown as string[],
    );
    const page = new LivePage(socket);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", () => reject(new Error("the socket was refused")), { once: true });
    });
    return page;
  }

  show(shown: Partial<ShowMessage> = {}): void {
    this.send(
      JSON.stringify({ type: "show", isVisible: true, selected: null, log: false, inSight: [], ...shown }),
    );
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  /** The first message, from `from` on, that `find` gives something for. */
  async until<T>(find: (message: ServerMessage) => T | undefined, from = 0): Promise<T> {
    for (let at = from; ; at++) {
      while (at >= this.received.length) await this.#more.promise;
      const found = find(this.received[at]!);
      if (found !== undefined) return found;
    }
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.closed;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
