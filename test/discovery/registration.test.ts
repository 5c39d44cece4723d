import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { noDetails } from "../../src/discovery/details.ts";
import { FrameError, LimitError } from "../../src/errors.ts";
import {
  decodeAddresses,
  decodeRegistration,
  decodeRegistrations,
  encodeAddresses,
  encodeRegistration,
  FoundRegistration,
  type Registration,
  registrationOf,
} from "../../src/discovery/registration.ts";
import type { StoredRegistration } from "../../src/discovery/stored-registration.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
import type { Address } from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";

const here = hostId();
const elsewhere = "0123456789abcdef";

function stored(host: string, addrs: readonly Address[]): StoredRegistration {
  const id = { name: "n", uuid: "u", pid: 7, host };
  return new RegistryTable().register(id, decodeAddresses(encodeAddresses(addrs, host), host));
}

/** As it arrives: a registrar's message is decoded into fresh arrays. */
function wire(form: unknown): unknown {
  return structuredClone(form);
}

describe("a registration on the wire", () => {
  test.each<[string, string, Address[], unknown[], Address[]]>([
    [
      "of this host",
      here,
      ["unix:///run/a.sock", "tcp://127.0.0.1:1"],
      [`unix://${here}/run/a.sock`, "tcp://127.0.0.1:1"],
      ["unix:///run/a.sock", "tcp://127.0.0.1:1"],
    ],
    [
      "of another host",
      elsewhere,
      ["unix:///run/a.sock", "tcp://10.0.0.1:1"],
      [`unix://${elsewhere}/run/a.sock`, "tcp://10.0.0.1:1"],
      [`unix://${elsewhere}/run/a.sock`, "tcp://10.0.0.1:1"],
    ],
    ["without addresses", here, [], [], []],
  ])("%s is read as it was written, its addresses seen from here", (_, host, addrs, sent, seen) => {
    const form = encodeRegistration(stored(host, addrs));
    expect(form).toEqual(["u", 7, host, sent, 1]);
    const found = decodeRegistration("n", wire(form));
    expect(found).toEqual(new FoundRegistration({ name: "n", uuid: "u", pid: 7, host }, seen));
  });

  test("comes back whole, whatever it has", () => {
    const registration = fc.record({
      uuid: fc.uuid(),
      pid: fc.nat(),
      host: fc.constantFrom(here, elsewhere),
      ports: fc.array(fc.integer({ min: 1, max: 65_535 }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(registration, { maxLength: 5 }), (all) => {
        const table = new RegistryTable();
        for (const { uuid, pid, host, ports } of all)
          table.register(
            { name: "n", uuid, pid, host },
            ports.map((port): Address => `tcp://10.0.0.1:${port}`),
          );
        const answer = wire(table.all("n").map(encodeRegistration));
        expect(decodeRegistrations("n", answer).map(({ id, addrs }) => ({ id, addrs }))).toEqual(
          table.all("n").map(({ id, addrs }) => ({ id, addrs: [...addrs] })),
        );
      }),
    );
  });

  const whole: readonly unknown[] = ["u", 7, here, ["tcp://10.0.0.1:1"], 1];
  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["no list", "u"],
    ["no uuid", whole.with(0, 1)],
    ["no pid", whole.with(1, "7")],
    ["no host", whole.with(2, null)],
    ["no addresses", whole.with(3, "tcp://10.0.0.1:1")],
    ["no revision", whole.slice(0, 4)],
  ])("with %s is malformed, alone and in a list", (_, form) => {
    expect(() => decodeRegistration("n", form)).toThrow(FrameError);
    expect(() => decodeRegistrations("n", [[...whole], form])).toThrow(FrameError);
  });

  test("loses an address that isn't text, and keeps the others", () => {
    const form = whole.with(3, [1, "tcp://10.0.0.1:1", null, "unix:///run/a.sock"]);
    expect(decodeRegistration("n", form).addrs).toEqual(["tcp://10.0.0.1:1", "unix:///run/a.sock"]);
  });

  test("is malformed where a list of them should be", () => {
    expect(() => decodeRegistrations("n", "none")).toThrow('answer for "n" is not a list');
  });

  test("is shown to users with its addresses as their host sees them", () => {
    const registration = stored(here, ["unix:///run/a.sock", "tcp://10.0.0.1:1"]);
    const shown = (host: string): Registration => registrationOf(registration, host);
    const id = { name: "n", uuid: "u", pid: 7, host: here };
    const rest = { id, revision: 1, ...noDetails };
    expect(shown(here)).toEqual({ ...rest, addrs: ["unix:///run/a.sock", "tcp://10.0.0.1:1"] });
    expect(shown(elsewhere)).toEqual({ ...rest, addrs: [`unix://${here}/run/a.sock`, "tcp://10.0.0.1:1"] });
  });
});

describe("the addresses of a request to register", () => {
  test("carry their host", () => {
    expect(encodeAddresses(["unix:///run/a.sock", "tcp://10.0.0.1:1"], elsewhere)).toEqual([
      `unix://${elsewhere}/run/a.sock`,
      "tcp://10.0.0.1:1",
    ]);
  });

  test("get the peer's host where they have none", () => {
    expect(decodeAddresses(["unix:///run/a.sock"], elsewhere)).toEqual([`unix://${elsewhere}/run/a.sock`]);
  });

  test.each<[string, unknown]>([
    ["no list", "tcp://10.0.0.1:1"],
    ["one that is no address", ["tcp://10.0.0.1:1", "nowhere"]],
  ])("are malformed as %s", (_, addrs) => {
    expect(() => decodeAddresses(addrs, here)).toThrow(FrameError);
  });

  test("are limited in number", () => {
    const addrs = Array.from({ length: 65 }, (_, n): Address => `tcp://10.0.0.1:${n + 1}`);
    expect(() => decodeAddresses(addrs, here)).toThrow(LimitError);
  });
});
