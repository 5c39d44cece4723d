/** `furrow registrar`: a registrar that does nothing else. */
import { openRootActor, watchActors } from "../../index.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonLine } from "../json.ts";
import { bootOptions } from "../service/boot.ts";
import { keepWatchdog, notify } from "../service/notify.ts";

export const command: Command = {
  usage: "",
  details: `Serves the registry until it is told to end: no program's work delays a lookup, and no program's end makes another one
take over. Where another process is the registrar, it stands by, and may take over when that ends. It prints a line when
it begins to serve or to stand by. Under systemd it reports that too, and feeds the watchdog.`,
  example: "furrow registrar --addr tcp://127.0.0.1:1616",
  options: {
    addr: {
      type: "string",
      multiple: true,
      value: "ADDR",
      summary: "where to serve; default --registry, $FURROW_REGISTRY_ADDRS, else port 1616 on this host",
    },
    name: { type: "string", value: "NAME", summary: "its name; default registrar" },
  },
  run: serve,
};

async function serve(context: CommandContext): Promise<number> {
  const { flags, json, signal } = context;
  const addrs = (flags["addr"] as readonly string[] | undefined) ?? context.registryAddrs;
  const name = (flags["name"] as string | undefined) ?? "registrar";
  await using actor = await openRootActor({ ...bootOptions(context, addrs), name });
  using _watchdog = keepWatchdog();
  let told: boolean | undefined;
  try {
    // another registrar means a new "sync"
    for await (const event of watchActors(name, { signal })) {
      if (event.type !== "sync" || actor.isRegistrar === told) continue;
      told = actor.isRegistrar;
      const state = told ? "serving" : "standing by";
      const { registryAddrs, id } = actor;
      if (json)
        await context.out(
          jsonLine({ state: told ? "serving" : "standby", pid: id.pid, addrs: registryAddrs }),
        );
      else await context.out(`${state} at ${registryAddrs.join(", ")} (pid ${id.pid})\n`);
      notify(`READY=1\nSTATUS=${state} at ${registryAddrs.join(", ")}`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  notify("STOPPING=1");
  return Exit.ok;
}
