/** `furrow ui` in a process of its own, and a browser's connection to it: a page that can be shown and hidden. */
import { join } from "node:path";

import type { Address } from "../../src/index.ts";
import type { ShowMessage } from "../harness/internals.ts";

const program = join(import.meta.dir, "../../src/cli/main.ts");

export class PageViewer implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "pipe", "inherit">;
  readonly #socket: WebSocket;
  /** The actors whose samples have arrived since the page was last shown. */
  readonly #sampled = new Set<string>();
  #onSample: (() => void) | undefined;

  private constructor(server: Bun.Subprocess<"ignore", "pipe", "inherit">, socket: WebSocket) {
    this.#process = server;
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
  }

  static async open(registry: Address): Promise<PageViewer> {
    const command = [process.execPath, program, "--registry", registry, "-q", "ui", "--no-open"];
    const server = Bun.spawn(command, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const url = await firstLine(server.stdout);
      const { headers } = await fetch(url, { redirect: "manual" });
      const [cookie = ""] = (headers.get("set-cookie") ?? "").split(";");
      const { origin, pathname } = new URL(url);
      const options = { headers: { origin, cookie } };
      const socket = new WebSocket(
        `${origin.replace("http", "ws")}${pathname}live`,
        options as unknown as string[],
      );
      await new Promise<void>((resolve, reject) => {
        socket.addEventListener("open", () => resolve(), { once: true });
        socket.addEventListener("error", () => reject(new Error("the page refused the connection")), {
          once: true,
        });
      });
      return new PageViewer(server, socket);
    } catch (error) {
      server.kill();
      throw error;
    }
  }

  /** Resolves when the page has had a sample of so many actors: all of them measure by then. */
  async show(actors: number): Promise<void> {
    this.#sampled.clear();
    this.#send(true);
    while (this.#sampled.size < actors) {
      await new Promise<void>((resolve) => (this.#onSample = resolve));
    }
  }

  /** What was measured ends soon after. */
  hide(): void {
    this.#send(false);
  }

  #send(isVisible: boolean): void {
    const message: ShowMessage = { type: "show", isVisible, selected: null, log: false, inSight: [] };
    this.#socket.send(JSON.stringify(message));
  }

  #receive(text: string): void {
    const message = JSON.parse(text) as { type: string; samples?: readonly { uuid: string }[] };
    if (message.type !== "samples") return;
    for (const { uuid } of message.samples ?? []) this.#sampled.add(uuid);
    this.#onSample?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    this.#process.kill();
    await this.#process.exited;
  }
}

async function firstLine(output: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of output) {
    text += decoder.decode(chunk, { stream: true });
    const [line, ...rest] = text.split("\n");
    if (rest.length > 0) return line ?? "";
  }
  throw new Error("furrow ui ended without printing its link");
}
