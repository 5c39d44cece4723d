/** `furrow ui`: the live page. */
import type { Command, CommandContext } from "../command.ts";
import { Exit, UsageError } from "../exit.ts";
import { jsonDocument } from "../json.ts";

export const command: Command = {
  usage: "",
  details: `Serves a page that shows the tree live: what each actor does, which streams wait, what is registered, and what is
wrong. It's for this machine's user only: the server listens on 127.0.0.1, and the printed link works once and lets one browser
in. The page only looks; with --allow-actions it can also stop, drain and restart actors. It never shows arguments or results.
While no page is open and visible, nothing is measured. Ends with Ctrl-C.`,
  example: "furrow ui --port 4000",
  options: {
    port: { type: "string", value: "N", summary: "the port; default: a free one" },
    "no-open": { type: "boolean", summary: "only print the link, don't open it" },
    "allow-actions": { type: "boolean", summary: "let the page stop, drain and restart actors" },
  },
  run: ui,
};

async function ui(context: CommandContext): Promise<number> {
  const { flags, signal } = context;
  const port = readPort(flags["port"]);
  const { readPage } = await import("../../page/page-file.ts");
  const { servePage } = await import("../../page/server.ts");
  const file = await readPage();
  const { registryAddrs } = await context.client();
  const mayAct = flags["allow-actions"] === true;
  await using page = servePage({ port, mayAct, file, registryAddrs });
  await context.out(context.json ? jsonDocument({ pages: [{ url: page.url }] }) : `${page.url}\n`);
  await context.err("the link works once; Ctrl-C ends the page\n");
  if (flags["no-open"] !== true && context.terminal.isTerminal) openBrowser(page.url, context);
  await ended(signal);
  return Exit.ok;
}

function readPort(given: unknown): number {
  if (typeof given !== "string") return 0;
  const port = Number(given);
  if (/^\d{1,5}$/.test(given) && port <= 65_535) return port;
  throw new UsageError(`--port takes a number from 0 to 65535, got ${JSON.stringify(given)}`);
}

function openBrowser(url: string, context: CommandContext): void {
  const { platform, env } = process;
  if (platform === "linux" && !env["DISPLAY"] && !env["WAYLAND_DISPLAY"]) return;
  const opener = Bun.which(platform === "darwin" ? "open" : "xdg-open");
  if (opener === null) return;
  const child = Bun.spawn([opener, url], { stdio: ["ignore", "ignore", "ignore"] });
  // some wait for the browser's end
  child.unref();
  void child.exited.then((code) => {
    if (code !== 0) void context.err("no browser could be opened: open the link yourself\n");
  });
}

async function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
