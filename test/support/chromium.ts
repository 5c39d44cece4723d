/** A real Chromium without a window, driven over its DevTools protocol. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const commands = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** `$CHROMIUM`, or what is on the PATH. */
export function findChromium(): string | undefined {
  const named = process.env["CHROMIUM"];
  if (named !== undefined && named !== "") return named;
  return commands.map((command) => Bun.which(command)).find((path) => path !== null) ?? undefined;
}

/** Less than what a test may take, so that the error says what was waited for. */
const untilMs = 30_000;

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly sessionId?: string;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export interface OpenOptions {
  readonly width?: number;
  readonly height?: number;
  /** Whether its user prefers dark colours. */
  readonly dark?: boolean;
  /** What runs in the page before its own scripts. */
  readonly before?: string;
}

type Params = Readonly<Record<string, unknown>>;

export class Chromium implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #pages = new Map<string, BrowserPage>();
  #last = 0;

  private constructor(child: Bun.Subprocess<"ignore", "ignore", "pipe">, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#take(JSON.parse(String(data)) as Answer));
    socket.addEventListener("close", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("the browser has ended"));
    });
  }

  static async start(command: string): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), "furrow-chromium-"));
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
    ];
    const child = Bun.spawn(
      [command, ...flags, "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
      // without this it would show in the leak check, which looks at the environment
      { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: profile } },
    );
    const socket = new WebSocket(await printedAddress(child.stderr));
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", reject, { once: true });
    });
    return new Chromium(child, profile, socket);
  }

  /** Opens a page. */
  async open(
    url: string,
    { width = 1_380, height = 860, dark = false, before = "" }: OpenOptions = {},
  ): Promise<BrowserPage> {
    const { targetId } = (await this.send("Target.createTarget", { url: "about:blank" })) as {
      targetId: string;
    };
    const { sessionId } = (await this.send("Target.attachToTarget", { targetId, flatten: true })) as {
      sessionId: string;
    };
    const page = new BrowserPage(this, sessionId, targetId);
    this.#pages.set(sessionId, page);
    await page.send("Page.enable");
    await page.send("Runtime.enable");
    await page.send("Log.enable");
    await page.size(width, height);
    await page.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }],
    });
    if (before !== "") await page.send("Page.addScriptToEvaluateOnNewDocument", { source: before });
    await page.send("Page.navigate", { url });
    return page;
  }

  async send(method: string, params: Params = {}, sessionId?: string): Promise<unknown> {
    const id = ++this.#last;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) }));
    return await answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    void this.send("Browser.close").catch(() => {});
    await this.#child.exited;
    this.#socket.close();
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #take({ id, method, params, sessionId, result, error }: Answer): void {
    if (id === undefined) {
      if (sessionId !== undefined) this.#pages.get(sessionId)?.onEvent(method ?? "", params ?? {});
      return;
    }
    const answer = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) answer?.resolve(result);
    else answer?.reject(new Error(error.message));
  }
}

export class BrowserPage {
  /** What the page or the browser complains of: exceptions, and what the policy forbids. */
  readonly complaints: string[] = [];
  readonly targetId: string;
  readonly #browser: Chromium;
  readonly #session: string;

  constructor(browser: Chromium, session: string, targetId: string) {
    this.#browser = browser;
    this.#session = session;
    this.targetId = targetId;
  }

  async send(method: string, params: Params = {}): Promise<unknown> {
    return await this.#browser.send(method, params, this.#session);
  }

  async size(width: number, height: number): Promise<void> {
    await this.send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })) as { result: { value: T }; exceptionDetails?: { text: string; exception?: { description: string } } };
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Resolves once an expression is true, which is looked at whenever the page changes. */
  async until(expression: string): Promise<void> {
    const isTrue = await this.evaluate<boolean>(`new Promise((resolve) => {
      const isTrue = () => { try { return Boolean(${expression}); } catch { return false; } };
      if (isTrue()) return resolve(true);
      const timer = setTimeout(() => resolve(false), ${untilMs});
      const observer = new MutationObserver(() => {
        if (!isTrue()) return;
        clearTimeout(timer);
        observer.disconnect();
        resolve(true);
      });
      observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    })`);
    if (isTrue) return;
    const shown = await this.evaluate<string>(`document.body.innerText`);
    throw new Error(`the page doesn't come to show ${expression}; it shows:\n${shown}`);
  }

  /** Presses a key: "ArrowDown", "/". */
  async press(key: string): Promise<void> {
    const text = key.length === 1 ? { text: key } : {};
    const codes: Record<string, number> = {
      ArrowDown: 40,
      ArrowUp: 38,
      ArrowLeft: 37,
      ArrowRight: 39,
      End: 35,
      Home: 36,
      Tab: 9,
    };
    const common = { key, windowsVirtualKeyCode: codes[key] ?? key.charCodeAt(0) };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...common, ...text });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...common });
  }

  /** A picture of what is in sight, as WebP. */
  async screenshot(): Promise<Buffer> {
    const { data } = (await this.send("Page.captureScreenshot", { format: "webp", quality: 80 })) as {
      data: string;
    };
    return Buffer.from(data, "base64");
  }

  async close(): Promise<void> {
    await this.#browser.send("Target.closeTarget", { targetId: this.targetId });
  }

  onEvent(method: string, params: Params): void {
    if (method === "Runtime.exceptionThrown") {
      const { exceptionDetails } = params as {
        exceptionDetails: { text: string; exception?: { description?: string } };
      };
      this.complaints.push(exceptionDetails.exception?.description ?? exceptionDetails.text);
    } else if (method === "Log.entryAdded") {
      const { entry } = params as { entry: { level: string; text: string } };
      if (entry.level === "error") this.complaints.push(entry.text);
    }
  }
}

/** Chromium prints where it listens. */
async function printedAddress(stderr: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const reader = stderr.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`Chromium ended at once: ${text}`);
    text += decoder.decode(value, { stream: true });
    const [, address] = /DevTools listening on (\S+)/.exec(text) ?? [];
    if (address === undefined) continue;
    // go on reading: otherwise it would wait for room
    void (async () => {
      while (!(await reader.read()).done);
    })().catch(() => {});
    return address;
  }
}
