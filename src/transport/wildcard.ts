/** Which addresses of this host stand for a wildcard address. Most actors listen on no wildcard and never load this. */
import { maxWildcardAddresses } from "./address-limits.ts";
import { readTextSync } from "./files.ts";
import { ipVersion } from "./host.ts";
import { type InterfaceAddress, interfaceList } from "./interfaces.ts";

/** Bridges and cables of containers and virtual machines: other hosts mostly have the same addresses on theirs. */
const internalDevice =
  /^(?:docker|br-[0-9a-f]{12}$|veth|virbr|vnet|lxcbr|lxdbr|podman|cni|cali|flannel|cilium|kube-|nodelocaldns)/;

/**
 * The addresses at which a listener on the wildcard address `host` is reached; all of IPv4 for `0.0.0.0`, all of both
 * versions for `::`. As peers dial the last one first: loopback, then addresses of container bridges, then the others with
 * the first interface last, and at the very end that of the default route; within an interface IPv4 last.
 */
export function wildcardHosts(host: string): string[] {
  return ordered(host, interfaceList(), defaultDevice());
}

/** As `wildcardHosts`, with what the system says: the addresses in its order, and the interface of the default route. */
export function ordered(
  wildcard: string,
  all: readonly InterfaceAddress[],
  defaultRoute: string | undefined,
): string[] {
  const hasV6 = wildcard === "::";
  const place = ({ device, host }: InterfaceAddress): number =>
    (internalDevice.test(device) ? 0 : device === defaultRoute ? 4 : 2) + (ipVersion(host) === 4 ? 1 : 0);
  const usable = all.filter(
    ({ host }) =>
      // link-local addresses mean nothing without an interface
      (hasV6 || ipVersion(host) === 4) && !/^(?:fe80:|127\.|::1$)/i.test(host),
  );
  const hosts = usable
    .toReversed()
    .toSorted((one, other) => place(one) - place(other))
    .map(({ host }) => host);
  const loopback = hasV6 ? ["::1", "127.0.0.1"] : ["127.0.0.1"];
  return Array.from(new Set([...loopback, ...hosts.slice(-(maxWildcardAddresses - loopback.length))]));
}

/** The interface of the IPv4 default route with the lowest metric; undefined where that can't be known. */
function defaultDevice(): string | undefined {
  let routes: string;
  try {
    routes = readTextSync("/proc/net/route");
  } catch {
    return undefined;
  }
  const defaults = routes.split("\n").flatMap((line) => {
    const [device, destination, , , , , metric, mask] = line.split("\t");
    return destination === "00000000" && mask === "00000000" ? [{ device, metric: Number(metric) }] : [];
  });
  return defaults.toSorted((one, other) => one.metric - other.metric)[0]?.device;
}
