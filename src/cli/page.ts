/** The page as commands serve it: `furrow ui`, and those that run a program with `--ui`. */
import type { PageOptions, ServedPage } from "../page/server.ts";
import type { CommandContext, CommandOptions } from "./command.ts";
import { UsageError } from "./exit.ts";
import { jsonDocument } from "./json.ts";

/** The options of the page. */
export const pageOptions: CommandOptions = {
  port: { type: "string", value: "N", summary: "the port; default: a free one" },
  "no-open": { type: "boolean", summary: "only print the link, don't open it" },
  "allow-actions": { type: "boolean", summary: "let the page stop, drain and restart actors" },
};

/** The options of a command that runs something, and shows the page of it if it's asked to. */
export const withPage: CommandOptions = {
  ui: { type: "boolean", summary: "show its tree live in a browser, as furrow ui does" },
  port: { ...pageOptions["port"]!, summary: "the page's port; default: a free one" },
  "no-open": { ...pageOptions["no-open"]!, summary: "only print the page's link, don't open it" },
  "allow-actions": pageOptions["allow-actions"]!,
};

/** What the options say. */
export interface PageFlags {
  readonly port: number;
  readonly mayAct: boolean;
  /** Whether to open the link for a user at a terminal. */
  readonly opens: boolean;
}

/** @throws {UsageError} when `--port` isn't a port */
export function readPageFlags({ flags }: CommandContext): PageFlags {
  return {
    port: readPort(flags["port"]),
    mayAct: flags["allow-actions"] === true,
    opens: flags["no-open"] !== true,
  };
}

/**
 * The same of a command with the options of `withPage`; undefined if it isn't to show the page.
 *
 * @throws {UsageError} when it isn't, and yet an option of the page is given
 */
export function wantedPage(context: CommandContext): PageFlags | undefined {
  const { flags } = context;
  if (flags["ui"] === true) return readPageFlags(context);
  const given = Object.keys(pageOptions).find((name) => flags[name] !== undefined);
  if (given === undefined) return undefined;
  throw new UsageError(
    `--${given} is an option of the page: add --ui, or write the program's own options after --`,
  );
}

/**
 * Serves the page, prints its link, and opens it in the browser of a user at a terminal. `hint` follows the link on stderr.
 *
 * @throws {Error} when the port can't be bound
 */
export async function openPage(
  context: CommandContext,
  { opens, ...options }: PageFlags & Pick<PageOptions, "registryAddrs" | "connect">,
  hint: string,
): Promise<ServedPage> {
  const { readPage } = await import("../page/page-file.ts");
  const { servePage } = await import("../page/server.ts");
  const page = servePage({ ...options, file: await readPage() });
  const { url } = page;
  await context.out(context.json ? jsonDocument({ pages: [{ url }] }) : `${url}\n`);
  await context.err(`${hint}\n`);
  if (opens && context.terminal.isTerminal) openBrowser(url, context);
  return page;
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
