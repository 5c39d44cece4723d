/** Callers of a service in several programs, as one. */
import type { Callers, CallersOptions, Tally } from "../fixtures/callers.ts";
import type { Program, World } from "./world.ts";

const module = new URL("../fixtures/callers.ts", import.meta.url).href;

/** Starts callers in `programs` programs, with so many lanes each. */
export async function openCallers(
  world: World,
  name: string,
  programs: number,
  options: Omit<CallersOptions, "prefix">,
): Promise<CallerPrograms> {
  const all = await Promise.all(Array.from({ length: programs }, (_, at) => world.actor(`caller-${at}`)));
  const opened = all.map((program, at) =>
    program.run(
      async ({ keep, args: [from, service, rest] }) => {
        const callers = (await import(from as string)) as typeof import("../fixtures/callers.ts");
        keep["callers"] = await callers.Callers.open(service as string, rest as CallersOptions);
      },
      module,
      name,
      { ...options, prefix: `p${at}` },
    ),
  );
  await Promise.all(opened);
  return new CallerPrograms(all);
}

export class CallerPrograms {
  readonly #programs: readonly Program[];

  constructor(programs: readonly Program[]) {
    this.#programs = programs;
  }

  /** What has become of the calls since the last time. */
  async take(): Promise<Tally> {
    const tallies = await Promise.all(
      this.#programs.map((program) => program.run(({ keep }) => (keep["callers"] as Callers).take())),
    );
    const shares: Record<string, number> = {};
    for (const tally of tallies)
      for (const [uuid, count] of Object.entries(tally.shares)) shares[uuid] = (shares[uuid] ?? 0) + count;
    return {
      answered: tallies.flatMap(({ answered }) => answered),
      failures: tallies.flatMap(({ failures }) => failures),
      shares,
    };
  }

  /** Whether every program knows so many instances. */
  async know(instances: number): Promise<boolean> {
    const counts = await Promise.all(
      this.#programs.map((program) => program.run(({ keep }) => (keep["callers"] as Callers).instances)),
    );
    return counts.every((count) => count === instances);
  }

  /** Ends them; each makes its last call to the end. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#programs.map((program) => program.run(({ keep }) => (keep["callers"] as Callers).stop())),
    );
  }
}
