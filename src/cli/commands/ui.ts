/** `furrow ui`: the live page. */
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { openPage, pageOptions, readPageFlags } from "../page.ts";

export const command: Command = {
  usage: "",
  details: `Serves a page that shows the tree live: what each actor does, which streams wait, what is registered, and what is
wrong. It's for this machine's user only: the server listens on 127.0.0.1, and the printed link works once and lets one browser
in. The page only looks; with --allow-actions it can also stop, drain and restart actors. It never shows arguments or results.
While no page is open and visible, nothing is measured. Ends with Ctrl-C.`,
  example: "furrow ui --port 4000",
  options: pageOptions,
  run: ui,
};

async function ui(context: CommandContext): Promise<number> {
  const flags = readPageFlags(context);
  const { registryAddrs } = await context.client();
  const hint = "the link works once; Ctrl-C ends the page";
  await using _page = await openPage(context, { ...flags, registryAddrs }, hint);
  await ended(context.signal);
  return Exit.ok;
}

async function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
