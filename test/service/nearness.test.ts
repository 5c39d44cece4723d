import { describe, expect, test } from "bun:test";

import { noDetails } from "../../src/discovery/details.ts";
import type { Registration } from "../../src/discovery/registration.ts";
import { nearest } from "../../src/service/nearness.ts";

const on = (uuid: string, host: string, zone?: string): { readonly registration: Registration } => ({
  registration: {
    ...noDetails,
    id: { name: "n", uuid, pid: 1, host },
    addrs: [],
    revision: 1,
    metadata: zone === undefined ? {} : { zone },
  },
});

function chosen(
  all: readonly { readonly registration: Registration }[],
  host: string,
  zone?: string,
): string {
  return nearest(all, { host, zone })
    .map(({ registration }) => registration.id.uuid)
    .join("");
}

describe("nearest", () => {
  const all = [on("a", "h1", "eu"), on("b", "h2", "eu"), on("c", "h3", "us"), on("d", "h1"), on("e", "h4")];

  test("gives the instances on the caller's host, else those in its zone, else all", () => {
    expect(chosen(all, "h1", "us")).toBe("ad");
    expect(chosen(all, "h9", "eu")).toBe("ab");
    expect(chosen(all, "h9", "as")).toBe("abcde");
    expect(chosen([], "h1", "eu")).toBe("");
  });

  test("takes callers and instances without a zone for strangers", () => {
    expect(chosen(all.slice(1), "h9")).toBe("bcde");
  });
});
