import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { etcd } from "../../src/etcd.ts";

const folder = mkdtempSync(join(process.env["FURROW_RUNTIME_DIR"]!, "options-"));
afterAll(() => rmSync(folder, { recursive: true }));

function pem(name: string, text = "-----BEGIN CERTIFICATE-----\n"): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe("etcd", () => {
  test("describes where the directory is, without the password", () => {
    const store = etcd("https://e1:2379, https://e2", { username: "furrow", password: "hidden" });
    expect(store.description).toBe('etcd at https://e1:2379, https://e2:2379 (space "default")');
    expect([store.ttlMs, Bun.inspect(store).includes("hidden")]).toEqual([6_000, false]);
  });

  test("takes a list, and names a server once", () => {
    const ports = etcd(["http://e1:80/", "http://e2:80", "http://e3/"]);
    expect(ports.description).toBe('etcd at http://e1, http://e2, http://e3:2379 (space "default")');
    const store = etcd(["http://127.0.0.1:2379", "http://127.0.0.1"], { space: "s", ttlMs: 10_000 });
    expect([store.description, store.ttlMs]).toEqual(['etcd at http://127.0.0.1:2379 (space "s")', 10_000]);
  });

  test.each([
    ["nothing", "", {}, `etcd: "" isn't a URL of a server: write it like "https://etcd1.example:2379"`],
    ["no scheme", "e1:2379", {}, `etcd: "e1:2379" isn't a URL of a server`],
    ["another scheme", "redis://e1", {}, `etcd: "redis://e1" isn't a URL of a server`],
    ["a path", "http://e1/v3", {}, `etcd: "http://e1/v3" has more than scheme, host and port`],
    ["an empty list", [], {}, "etcd: give the URLs of 1 to 32 servers, got 0"],
    ["http and https", "http://e1,https://e2", {}, "etcd: the servers must all have http or all https"],
    [
      "a user in the URL",
      "http://me:secret@e1",
      {},
      "etcd: a URL can't hold a user: give username and password",
    ],
    ["an empty space", "http://e1", { space: "" }, "etcd: space must be 1 to 64 letters"],
    [
      "a space with a slash",
      "http://e1",
      { space: "a/b" },
      'etcd: space must be 1 to 64 letters, digits, ".", "_" or "-", got "a/b"',
    ],
    [
      "a short ttl",
      "http://e1",
      { ttlMs: 1_000 },
      "etcd: ttlMs must be whole seconds from 2000 to 600000 ms, got 1000",
    ],
    ["a ttl of half a second", "http://e1", { ttlMs: 2_500 }, "etcd: ttlMs must be whole seconds"],
    ["a long ttl", "http://e1", { ttlMs: 601_000 }, "etcd: ttlMs must be whole seconds"],
    ["no ttl", "http://e1", { ttlMs: Number.NaN }, "etcd: ttlMs must be whole seconds"],
    [
      "a user without a password",
      "http://e1",
      { username: "me" },
      'etcd: user "me" has no password: give both or neither',
    ],
    [
      "a password without a user",
      "http://e1",
      { password: "x" },
      "etcd: there is a password without a username",
    ],
    ["http with tls", "http://e1", { tls: {} }, "etcd: tls is set, but http://e1:2379 is without it"],
    [
      "a certificate without its key",
      "https://e1",
      { tls: { cert: "c.pem" } },
      "etcd: tls.cert is set without tls.key",
    ],
    [
      "a key without its certificate",
      "https://e1",
      { tls: { key: "k.pem" } },
      "etcd: tls.key is set without tls.cert",
    ],
    [
      "a file that isn't there",
      "https://e1",
      { tls: { ca: "/nowhere/ca.pem" } },
      "etcd: tls.ca: /nowhere/ca.pem can't be read: ENOENT",
    ],
  ])("refuses %s", (_, urls, options, message) => {
    expect(() => etcd(urls, options)).toThrow(message);
  });

  test("never repeats a password that stands in a URL", () => {
    expect(() => etcd("http://me:secret@e1")).toThrow(expect.not.stringContaining("secret"));
  });

  test("refuses a file that isn't PEM", () => {
    expect(() => etcd("https://e1", { tls: { ca: pem("text.pem", "hello") } })).toThrow("isn't PEM");
    expect(etcd("https://e1", { tls: { ca: pem("ca.pem") } }).ttlMs).toBe(6_000);
  });
});
