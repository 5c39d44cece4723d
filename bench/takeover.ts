/**
 * What the death of the registrar costs: `bun run bench:takeover [programs] [children] [kills] [transports]`.
 *
 * Several programs, each with a root actor and children, share a registry. The registrar's program is killed. Every other
 * program looks up every remaining actor, from the moment it loses its registrar until it has found them all. Then a new
 * program replaces the killed one. Prints a line for each kill, a summary, and a histogram.
 */
import { openHome, runCommand } from "./harness/command.ts";
import { Takeover } from "./harness/takeover.ts";

/** Formats a histogram: a line for each 50 ms, with a block for each kill that took that long. */
function histogram(times: readonly number[]): string {
  const step = 50;
  const slots = times.map((ms) => Math.floor(ms / step));
  const [first, last] = [Math.min(...slots), Math.max(...slots)];
  return Array.from({ length: last - first + 1 }, (_, at) => {
    const slot = first + at;
    const count = slots.filter((one) => one === slot).length;
    return `${String(slot * step).padStart(6)} ms ${"█".repeat(count)}${count > 0 ? ` ${count}` : ""}`;
  }).join("\n");
}

async function main(): Promise<void> {
  const [programs = 10, children = 9, kills = 20] = process.argv.slice(2, 5).map(Number);
  const transports = (process.argv[5] ?? "unix").split("+");
  const folder = openHome("furrow-takeover-");
  await using takeover = await Takeover.open({ programs, children, transports, folder });
  const times: number[] = [];
  let [nulls, errors, killsWithNulls] = [0, 0, 0];
  for (let number = 1; number <= kills; number++) {
    const kill = await takeover.kill();
    times.push(kill.ms);
    nulls += kill.nulls;
    errors += kill.errors;
    if (kill.nulls > 0) killsWithNulls++;
    console.log(
      `kill ${number}: ${Math.round(kill.ms)} ms, ${kill.nulls} false nulls, ${kill.errors} errors, ${kill.seconds.toFixed(1)} s of processor time`,
    );
  }
  const sorted = times.toSorted((a, b) => a - b);
  console.log(
    `| ${programs * (children + 1)} actors in ${programs} programs, ${transports.join("+")} | ${kills} kills | ` +
      `median ${Math.round(sorted[sorted.length >> 1] ?? 0)} ms | worst ${Math.round(sorted.at(-1) ?? 0)} ms | ` +
      `${nulls} false nulls in ${killsWithNulls} kills | ${errors} errors |`,
  );
  console.log(histogram(times));
}

await runCommand("bench:takeover", main);
