/** A client of the compiler's language server: asks what an editor asks. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { compiler } from "./user-project.ts";

interface Position {
  readonly line: number;
  readonly character: number;
}

interface Location {
  readonly uri: string;
  readonly range: { readonly start: Position; readonly end: Position };
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** A language server for the projects below a folder. Leaving its `await using` block ends it. */
export class LanguageServer implements AsyncDisposable {
  readonly #server: Bun.Subprocess<"pipe", "pipe", "ignore">;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #reading: Promise<void>;
  #lastId = 0;

  private constructor(folder: string) {
    this.#server = Bun.spawn([compiler, "--lsp", "--stdio"], {
      cwd: folder,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
    });
    this.#reading = this.#read();
  }

  static async open(folder: string): Promise<LanguageServer> {
    const server = new LanguageServer(folder);
    const rootUri = pathToFileURL(folder).href;
    await server.#ask("initialize", { processId: process.pid, rootUri, capabilities: {} });
    server.#send({ method: "initialized", params: {} });
    return server;
  }

  /** Opens a file as an editor does. Only open files can be asked about. */
  openFile(path: string): void {
    const textDocument = {
      uri: pathToFileURL(path).href,
      languageId: "typescript",
      version: 1,
      text: readFileSync(path, "utf8"),
    };
    this.#send({ method: "textDocument/didOpen", params: { textDocument } });
  }

  /** "Go to definition" at the first `place` in the file, as `file:line: text of the line`. */
  async definition(path: string, place: string): Promise<string[]> {
    const found = await this.#ask("textDocument/definition", positionOf(path, place));
    return [found].flat().filter(isLocation).map(describe);
  }

  /** "Find references", the declaration included, in the same form. */
  async references(path: string, place: string): Promise<string[]> {
    const params = { ...positionOf(path, place), context: { includeDeclaration: true } };
    const found = await this.#ask("textDocument/references", params);
    return [found].flat().filter(isLocation).map(describe);
  }

  /** What the editor shows when the pointer rests at the first `place` in the file. */
  async hover(path: string, place: string): Promise<string> {
    const found = await this.#ask("textDocument/hover", positionOf(path, place));
    return JSON.stringify(found);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.kill();
    await this.#server.exited;
    await this.#reading;
  }

  async #ask(method: string, params: unknown): Promise<unknown> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.#send({ id, method, params });
    return await answer.promise;
  }

  #send(message: Message & { readonly result?: unknown }): void {
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    void this.#server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    void this.#server.stdin.flush();
  }

  async #read(): Promise<void> {
    let bytes = Buffer.alloc(0);
    for await (const chunk of this.#server.stdout) {
      bytes = Buffer.concat([bytes, chunk]);
      for (;;) {
        const headEnd = bytes.indexOf("\r\n\r\n");
        const length = Number(/Content-Length: (\d+)/.exec(bytes.toString("latin1", 0, headEnd))?.[1]);
        if (headEnd < 0 || bytes.length < headEnd + 4 + length) break;
        const end = headEnd + 4 + length;
        this.#receive(JSON.parse(bytes.toString("utf8", headEnd + 4, end)) as Message);
        bytes = bytes.subarray(end);
      }
    }
    for (const { reject } of this.#waiting.values()) reject(new Error("the language server has ended"));
  }

  #receive({ id, method, result, error }: Message): void {
    if (id === undefined) return;
    // the server asks the client, too; null is an answer to all that it asks
    if (method !== undefined) {
      this.#send({ id, result: null });
      return;
    }
    const answer = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) answer?.resolve(result);
    else answer?.reject(new Error(error.message));
  }
}

function isLocation(found: unknown): found is Location {
  return typeof found === "object" && found !== null && "uri" in found && "range" in found;
}

function describe({ uri, range: { start } }: Location): string {
  const path = fileURLToPath(uri);
  const line = readFileSync(path, "utf8").split("\n")[start.line] ?? "";
  return `${basename(path)}:${start.line + 1}: ${line.trim()}`;
}

/** The end of the first `place` in the file, so that "run.fn" means `fn`. */
function positionOf(path: string, place: string): { textDocument: { uri: string }; position: Position } {
  const text = readFileSync(path, "utf8");
  const at = text.indexOf(place);
  if (at < 0) throw new Error(`"${place}" isn't in ${path}`);
  const before = text.slice(0, at + place.length - 1).split("\n");
  const position = { line: before.length - 1, character: before.at(-1)!.length };
  return { textDocument: { uri: pathToFileURL(path).href }, position };
}
