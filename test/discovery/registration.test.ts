import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { writeBrief } from "../../src/discovery/brief.ts";
import { noDetails } from "../../src/discovery/details.ts";
import { FrameError, LimitError } from "../../src/errors.ts";
import {
  decodeAddresses,
  decodeAnswer,
  decodeRegistration,
  decodeRegistrations,
  encodeAddresses,
  encodeRegistration,
  type Registration,
  registrationOf,
} from "../../src/discovery/registration.ts";
import type { StoredRegistration } from "../../src/discovery/stored-registration.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
import type { Address } from "../../src/index.ts";
import { bestAddress } from "../../src/transport/address.ts";
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
  test.each<[string, string, Address[], string, Address[]]>([
    [
      "of this host",
      here,
      ["unix:///run/a.sock", "tcp://127.0.0.1:1"],
      "\nunix:///run/a.sock\ntcp://127.0.0.1:1",
      ["unix:///run/a.sock", "tcp://127.0.0.1:1"],
    ],
    ["of this host, with one socket file", here, ["unix:///a b"], "\nunix:///a b", ["unix:///a b"]],
    [
      "of another host",
      elsewhere,
      ["unix:///run/a.sock", "tcp://10.0.0.1:1"],
      "\nunix:///run/a.sock\ntcp://10.0.0.1:1",
      [`unix://${elsewhere}/run/a.sock`, "tcp://10.0.0.1:1"],
    ],
    [
      "of another host, with one socket file",
      elsewhere,
      ["unix:///run/a.sock"],
      "\nunix:///run/a.sock",
      [`unix://${elsewhere}/run/a.sock`],
    ],
    ["without addresses", here, [], "", []],
  ])("%s is read as it was written, its addresses seen from here", (_, host, addrs, lines, addrsHere) => {
    const form = encodeRegistration(stored(host, addrs));
    expect(form).toBe(`u 7 1 ${host}${lines}`);
    const found = decodeRegistration("n", wire(form));
    const id = { name: "n", uuid: "u", pid: 7, host };
    const best = bestAddress(addrsHere, host) ?? null;
    expect({ id: found.id, addrs: [...found.addrs], best: found.best }).toEqual({
      id,
      addrs: addrsHere,
      best,
    });
  });

  test("finds the best address before or after all else is read", () => {
    const form = encodeRegistration(stored(here, ["unix:///run/a.sock"]));
    const [first, later] = [decodeRegistration("n", form), decodeRegistration("n", form)];
    expect(first.best).toBe("unix:///run/a.sock");
    expect([later.addrs[0], later.id.uuid, later.best]).toEqual(["unix:///run/a.sock", "u", first.best]);
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

  const brief = writeBrief("u", 7, 1, here, ["tcp://10.0.0.1:1"]);
  const whole: readonly unknown[] = ["u", 7, here, ["tcp://10.0.0.1:1"], 1, []];
  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["an empty text", ""],
    ["a uuid alone", "u"],
    ["an address alone", "tcp://10.0.0.1:1"],
    ["another kind of uuid", brief.replace("u", "ü")],
    ["no pid", brief.replace("7", "")],
    ["a negative pid", brief.replace("7", "-7")],
    ["no revision", brief.replace(" 1 ", " ")],
    ["another kind of host", brief.replace(here, "my host")],
    ["no uuid", whole.with(0, 1)],
    ["a pid that is no number", whole.with(1, "7")],
    ["no host", whole.with(2, null)],
    ["no addresses", whole.with(3, "tcp://10.0.0.1:1")],
    ["a revision that is no number", whole.with(4, "1")],
    ["no details", whole.slice(0, 5)],
    ["other details", whole.with(5, 1)],
  ])("with %s is malformed, alone and in a list", (_, form) => {
    expect(() => decodeRegistration("n", form)).toThrow(FrameError);
    expect(() => decodeRegistrations("n", [brief, form])).toThrow(FrameError);
  });

  test("with details loses an address that isn't text, and keeps the others", () => {
    const form = whole.with(3, [1, "tcp://10.0.0.1:1", null, "unix:///run/a.sock"]);
    expect(decodeRegistration("n", form).addrs).toEqual(["tcp://10.0.0.1:1", "unix:///run/a.sock"]);
  });

  test("with lines that are no addresses keeps them, and is dialled at the others", () => {
    const found = decodeRegistration("n", `${brief}\nnowhere\n\nunix:///run/a\tb.sock`);
    expect(found.addrs).toContain("nowhere" as Address);
    expect(found.dialOrder()).toEqual(["tcp://10.0.0.1:1"]);
    const odd = decodeRegistration("n", `u 7 1 ${here}\nunix:///run/a\tb.sock`);
    expect(odd.best).toBeNull();
  });

  test("is malformed where a list of them should be", () => {
    expect(() => decodeAnswer("n", "none")).toThrow('answer for "n" is not a list');
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
