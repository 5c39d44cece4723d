/** The registrar's table at growing sizes: lookups and memory. */
import { fresh, registrant } from "../harness/actors.ts";
import { RegistryTable } from "../harness/internals.ts";
import type { RaceRow, WeighRow, Weight } from "../harness/row.ts";
import { type Parts, stackedContest } from "./contest.ts";

const million = 1_000_000;
const sizes = [10, 1_000, 100_000, million] as const;
/** How many names are asked for in turn, from all over the table. */
const hotNames = 1_024;

function tableRow(size: number): RaceRow {
  return {
    kind: "race",
    id: `table.${size}`,
    transport: "none",
    what: `the last registration of a name in a table of ${size}, ${Math.min(size, hotNames)} names in turn`,
    baseline: "a plain Map of that size",
    ...(size === million ? { maxRounds: 2 } : {}),
    open: () => stackedContest(async () => contest(size)),
  };
}

function contest(size: number): Parts {
  const table = new RegistryTable();
  const map = new Map<string, object>();
  const names: string[] = [];
  const { id, addrs } = registrant(0);
  for (let n = 0; n < size; n++) {
    const name = fresh(`actor-${n}`);
    table.register({ ...id, name }, addrs);
    map.set(name, { uuid: id.uuid, addrs });
    names.push(name);
  }
  const asked = Array.from({ length: hotNames }, (_, n) => names[Math.floor((n * size) / hotNames)] ?? "");
  const check = (found: number): void => {
    if (found !== hotNames) throw new Error(`found ${found} of ${hotNames} names`);
  };
  return {
    subject: {
      calls: hotNames,
      run() {
        let found = 0;
        for (const name of asked) if (table.last(name) !== undefined) found++;
        check(found);
      },
    },
    baseline: {
      calls: hotNames,
      run() {
        let found = 0;
        for (const name of asked) if (map.get(name) !== undefined) found++;
        check(found);
      },
    },
  };
}

export const tableRows: readonly RaceRow[] = sizes.map(tableRow);

/** Measures how much this process grows, and the time, per call of `add`, over so many calls. */
function weigh(add: (n: number) => void, count: number = million): Weight {
  for (let n = 0; n < 1_000; n++) registrant(n);
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const start = Bun.nanoseconds();
  for (let n = 0; n < count; n++) add(n);
  const ns = (Bun.nanoseconds() - start) / count;
  Bun.gc(true);
  return { bytes: (process.memoryUsage.rss() - before) / count, ns };
}

/** Weighs a plain Map from name to what a registrar keeps of an actor, for each of so many. */
export function weighMap(count: number): Weight {
  const map = new Map<string, object>();
  const weight = weigh((n) => {
    const { id, addrs } = registrant(n);
    map.set(id.name, { uuid: id.uuid, addrs });
  }, count);
  if (map.size !== count) throw new Error("the map lost entries");
  return weight;
}

export const memoryRow: WeighRow = {
  kind: "weigh",
  id: `memory.${million}`,
  transport: "none",
  what: "memory per actor, with a million registered under two addresses each; the time is that of registering one",
  baseline: "a plain Map from name to { uuid, addrs }",
  maxRounds: 2,
  async weighSubject() {
    const table = new RegistryTable();
    const weight = weigh((n) => {
      const { id, addrs } = registrant(n);
      table.register(id, addrs);
    });
    if (table.size !== million) throw new Error("the table lost entries");
    return weight;
  },
  weighBaseline: async () => weighMap(million),
};
