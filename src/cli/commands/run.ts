/** `furrow run`: a program or an actor as a service, which is restarted when it fails. */
import { basename, extname, resolve } from "node:path";

import { currentActor, type Nursery, openNursery, waitForActor } from "../../index.ts";
import { readRestart, type RestartPolicy, type RestartWhen } from "../../tree/restart.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit, UsageError } from "../exit.ts";
import { countOf, durationOf } from "../options.ts";
import { openPage, wantedPage, withPage } from "../page.ts";
import { bootOptions } from "../service/boot.ts";
import { keepWatchdog, notify } from "../service/notify.ts";
import { reapOrphans } from "../service/zombies.ts";
import { SignalError } from "../signals.ts";

export const command: Command = {
  usage: "FILE [-- ARG...]",
  details: `Runs FILE as a program, or with --actor as an actor's module, and restarts it when it fails. The command is a root of its
own: if no other process serves the registry, it does, so that the registry outlives the program's crashes. It passes on
SIGTERM, SIGINT and SIGHUP, and waits for the end. Whatever ends the command, FILE ends with it. Under systemd it
reports when it's ready and feeds the watchdog; as the first process of a container it reaps orphans. With --ui the page of
furrow ui shows the tree.`,
  example: "furrow run shop.ts --ready shop -- --port 8080",
  args: { min: 1, max: 1 },
  takesRest: true,
  options: {
    actor: { type: "string", value: "NAME", summary: "run FILE as the module of an actor of this name" },
    restart: {
      type: "string",
      value: "WHEN",
      choices: ["on-failure", "always", "never"],
      summary: "when to restart it; default on-failure",
    },
    "max-restarts": { type: "string", value: "N", summary: "at most N restarts within a minute; default 5" },
    "stop-timeout": {
      type: "string",
      value: "TIME",
      summary: "how long a program may take to end; default 40s",
    },
    ready: {
      type: "string",
      value: "NAME",
      summary: "tell systemd that it is ready once an actor NAME is registered",
    },
    name: { type: "string", value: "NAME", summary: "the name of its own root; default run-FILE" },
    ...withPage,
  },
  run: run,
};

async function run(context: CommandContext): Promise<number> {
  const { args, rest, flags, registryAddrs, signal } = context;
  const file = resolve(args[0]!);
  if (!(await Bun.file(file).exists())) throw new UsageError(`${args[0]} does not exist`);
  const actor = flags["actor"] as string | undefined;
  if (actor !== undefined && rest.length > 0) throw new UsageError("an actor takes no arguments");
  const restart = restartOf(context);
  const wanted = wantedPage(context);
  const name = (flags["name"] as string | undefined) ?? `run-${basename(file, extname(file))}`;
  using _watchdog = keepWatchdog();
  using _reaper = reapOrphans();
  const boot = bootOptions(context, registryAddrs);
  // while a program ends, it needs the registry
  using booting = until(signal);
  const nursery = await openNursery({
    ...boot,
    name,
    ...(actor === undefined && { signal: booting.signal }),
  });
  booting[Symbol.dispose]();
  try {
    const { registryAddrs: addrs } = currentActor();
    await using _page =
      wanted && (await openPage(context, { ...wanted, registryAddrs: addrs }, "the link works once"));
    if (actor !== undefined) await runActor(context, nursery, actor, file, restart);
    else return await runProgram(context, file, restart);
  } finally {
    notify("STOPPING=1");
    await ended(nursery, signal);
  }
  return Exit.ok;
}

function restartOf({ flags }: CommandContext): RestartPolicy {
  const when = ((flags["restart"] as string | undefined) ?? "on-failure") as RestartWhen;
  const policy = readRestart(when);
  return { ...policy, maxRestarts: countOf(flags, "max-restarts", policy.maxRestarts, 0) };
}

async function runActor(
  { flags, signal }: CommandContext,
  nursery: Nursery,
  name: string,
  module: string,
  policy: RestartPolicy,
): Promise<void> {
  const { when } = policy;
  await nursery.startActor(name, { module, restart: when === "never" ? when : { ...policy, when }, signal });
  tellReady(flags["ready"] as string | undefined, signal);
  await nursery.join();
}

async function runProgram(context: CommandContext, file: string, restart: RestartPolicy): Promise<number> {
  const { superviseProgram } = await import("../service/program.ts");
  const { flags, signal, rest, registryAddrs } = context;
  tellReady(flags["ready"] as string | undefined, signal);
  const { failure } = await superviseProgram({
    file,
    args: rest,
    restart,
    stopMs: durationOf(flags, "stop-timeout", "40s"),
    env: {
      NOTIFY_SOCKET: undefined,
      WATCHDOG_USEC: undefined,
      ...(registryAddrs !== undefined && { FURROW_REGISTRY_ADDRS: registryAddrs.join(",") }),
    },
    signal,
    stopSignal: () => (signal.reason instanceof SignalError ? signal.reason.signal : "SIGTERM"),
    tell: (line) => context.err(`furrow: ${line}\n`),
  });
  return failure === undefined ? Exit.ok : Exit.failed;
}

/** At once, or when an actor of that name is registered. */
function tellReady(name: string | undefined, signal: AbortSignal): void {
  const tell = (): void => void notify(`READY=1\nMAINPID=${process.pid}`);
  if (name === undefined) tell();
  else
    void waitForActor(name, { signal }).then(
      (portal) => {
        tell();
        return portal[Symbol.asyncDispose]();
      },
      () => {}, // it is being ended
    );
}

/** A signal that follows another one until it is disposed. */
function until(signal: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => signal.removeEventListener("abort", onAbort),
  };
}

/** A nursery that was told to end tells of nothing else. */
async function ended(nursery: Nursery, signal: AbortSignal): Promise<void> {
  try {
    await nursery[Symbol.asyncDispose]();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
