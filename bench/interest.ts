/**
 * What a full mirror costs beside interest in names, by the number of hosts: `bun bench/interest.ts`. A model, not a
 * measurement: it multiplies what `bench:cluster` has measured by how often things happen. Prints a table for
 * docs/decisions/8-mirror-or-interest.md.
 *
 * Names are popular by Zipf's law. A popular name has more instances and is of interest to more hosts, so the model is
 * harder on interest than names that are all alike would be.
 */

/** How a cluster is used. */
const use = {
  actorsPerHost: 1_000,
  /** Instances of a name, on average. */
  instances: 10,
  /** An actor registers, lives so long, and is gone: two changes. */
  lifeSeconds: 24 * 3_600,
  /** How many names the actors of a host look up. */
  namesPerHost: 500,
  /** Renewals of a host's lease. */
  renewalsPerSecond: 1 / 2,
};

/** From `bench:cluster` with 100 hosts of 1,000 actors. */
const cost = {
  registrarBytesPerActor: 1_270,
  etcdBytesPerActor: 2_100,
  registrarMsPerChange: 0.29,
  etcdMsPerDelivery: 0.069,
};

/** How many instances of a name a host follows in the third way. */
const sample = 64;

interface Load {
  readonly changesPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly actorsPerRegistrar: number;
}

function mirror(hosts: number): Load {
  const changesPerSecond = changesOf(hosts);
  return {
    changesPerSecond,
    deliveriesPerSecond: changesPerSecond * hosts,
    actorsPerRegistrar: hosts * use.actorsPerHost,
  };
}

/** `most`: of a name with more instances, a host follows so many. */
function interest(hosts: number, most: number): Load {
  const names = (hosts * use.actorsPerHost) / use.instances;
  let weight = 0;
  for (let rank = 1; rank <= names; rank++) weight += 1 / rank;
  const draws = drawsFor(names, weight);
  const changesPerSecond = changesOf(hosts);
  let interested = 0;
  let actorsPerRegistrar = 0;
  for (let rank = 1; rank <= names; rank++) {
    const popularity = 1 / rank / weight;
    // that at least one of a host's draws is this name
    const share = 1 - Math.exp(-draws * popularity);
    const instances = popularity * hosts * use.actorsPerHost;
    const followed = Math.min(1, most / instances);
    interested += popularity * share * followed;
    actorsPerRegistrar += share * instances * followed;
  }
  return { changesPerSecond, deliveriesPerSecond: changesPerSecond * interested * hosts, actorsPerRegistrar };
}

/** How many names a host must draw by their popularity to have `namesPerHost` different ones. */
function drawsFor(names: number, weight: number): number {
  const wanted = Math.min(use.namesPerHost, names * 0.9);
  let [low, high] = [1, 1e9];
  while (high / low > 1.001) {
    const draws = Math.sqrt(low * high);
    let different = 0;
    for (let rank = 1; rank <= names; rank++) different += 1 - Math.exp((-draws * 1) / rank / weight);
    if (different < wanted) low = draws;
    else high = draws;
  }
  return low;
}

function changesOf(hosts: number): number {
  return (2 * hosts * use.actorsPerHost) / use.lifeSeconds;
}

function line(hosts: number, name: string, load: Load): string {
  const { changesPerSecond, deliveriesPerSecond, actorsPerRegistrar } = load;
  const registrarMb = (actorsPerRegistrar * cost.registrarBytesPerActor) / 1e6;
  const received = deliveriesPerSecond / hosts;
  const cells = [
    hosts.toLocaleString("en"),
    name,
    changesPerSecond.toFixed(1),
    deliveriesPerSecond.toFixed(0),
    `${((deliveriesPerSecond * cost.etcdMsPerDelivery) / 10).toFixed(0)} %`,
    `${registrarMb.toFixed(0)} MB`,
    `${((received * cost.registrarMsPerChange) / 10).toFixed(2)} %`,
    `${((hosts * use.actorsPerHost * cost.etcdBytesPerActor) / 1e9).toFixed(1)} GB`,
    (hosts * use.renewalsPerSecond).toFixed(0),
  ];
  return `| ${cells.join(" | ")} |`;
}

console.log(
  "| hosts | way | changes/s | deliveries/s | etcd, of a processor | a registrar's memory | a registrar, of a processor | etcd's memory | renewals/s |",
);
console.log("|---|---|---|---|---|---|---|---|---|");
for (const hosts of [10, 100, 1_000, 10_000]) {
  console.log(line(hosts, "mirror", mirror(hosts)));
  console.log(line(hosts, "interest", interest(hosts, Number.POSITIVE_INFINITY)));
  console.log(line(hosts, `interest, at most ${sample} instances of a name`, interest(hosts, sample)));
}
