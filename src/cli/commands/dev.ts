/** `furrow dev`: a program that follows the changes of its files. */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";

import type { ServedPage } from "../../page/server.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit, UsageError } from "../exit.ts";
import { durationOf } from "../options.ts";
import { openPage, type PageFlags, wantedPage, withPage } from "../page.ts";
import { SignalError } from "../signals.ts";

export const command: Command = {
  usage: "FILE [-- ARG...]",
  details: `Runs the program FILE. When a file changes that only actors have loaded, each of these is replaced and the rest of the
tree goes on: the old process serves until the new one is ready, and stays if the new one can't start. When a file that
the program itself imports changes, the program ends in order and starts again. A syntax error changes nothing. Portals to
a replaced actor are closed; openService follows the name. With --ui the page of furrow ui shows the tree, from one restart
of the program to the next.`,
  example: "furrow dev shop.ts --ui -- --port 8080",
  args: { min: 1, max: 1 },
  takesRest: true,
  options: {
    "stop-timeout": {
      type: "string",
      value: "TIME",
      summary: "how long the program may take to end; default 10s",
    },
    ...withPage,
  },
  run: dev,
};

async function dev(context: CommandContext): Promise<number> {
  const { args, rest, flags, signal, registryAddrs } = context;
  const file = resolve(args[0]!);
  if (!(await Bun.file(file).exists())) throw new UsageError(`${args[0]} does not exist`);
  const stopMs = durationOf(flags, "stop-timeout", "10s");
  const wanted = wantedPage(context);
  await using _page = wanted && (await openPageFirst(context, wanted));
  const { develop } = await import("../develop/develop.ts");
  await develop({
    file: realpathSync(file),
    args: rest,
    env: registryAddrs === undefined ? {} : { FURROW_REGISTRY_ADDRS: registryAddrs.join(",") },
    stopMs,
    signal,
    stopSignal: () => (signal.reason instanceof SignalError ? ofTerminal(signal.reason.signal) : "SIGTERM"),
    tell: (line) => context.err(`furrow: ${line}\n`),
  });
  return Exit.ok;
}

/** Before the program runs, and so before there's a registrar: the page's client opens when there is. */
async function openPageFirst(context: CommandContext, wanted: PageFlags): Promise<ServedPage> {
  const { clientRegistryAddrs } = await import("../../tree/client.ts");
  const source = {
    registryAddrs: clientRegistryAddrs(context.registryAddrs),
    connect: async () => await context.client(),
  };
  return await openPage(context, { ...wanted, ...source }, "the link works once");
}

/** Ctrl-C in a terminal reaches the program, too, and a second one would end it at once. */
function ofTerminal(signal: NodeJS.Signals): NodeJS.Signals | undefined {
  return signal === "SIGINT" && process.stdin.isTTY ? undefined : signal;
}
