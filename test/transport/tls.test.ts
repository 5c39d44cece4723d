import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Deadline } from "../../src/deadline.ts";
import type { ParsedTcpAddress } from "../../src/transport/address.ts";
import { tcpDriver } from "../../src/transport/tcp.ts";
import { subjectOf } from "../../src/transport/tls-peer.ts";
import { loadTls, type TlsFiles, type TlsIdentity } from "../../src/transport/tls.ts";
import type { Link } from "../../src/transport/transport.ts";
import { Authority } from "../support/certificates.ts";

const day = 86_400_000;
const authority = new Authority();
const isRoot = process.getuid?.() === 0;
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(process.env["FURROW_RUNTIME_DIR"]!, "tls-"));
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

function written(identity: TlsIdentity): TlsFiles {
  const files = { cert: join(dir, "cert.pem"), key: join(dir, "key.pem"), ca: join(dir, "ca.pem") };
  for (const name of ["cert", "key", "ca"] as const)
    writeFileSync(files[name], identity[name], { mode: 0o600 });
  return files;
}

/** What `loadTls` says, with the folder and dates left out. */
function refusal(files: unknown): string {
  try {
    loadTls(files as TlsFiles);
  } catch (error) {
    const { name, message } = error as Error;
    return `${name}: ${message}`
      .replaceAll(`${dir}/`, "")
      .replaceAll(/[A-Z][a-z]{2} +\d+ [\d:]+ \d{4} GMT/g, "DATE");
  }
  return "it did not refuse";
}

describe("loadTls", () => {
  test("reads the files of an identity that its peers would accept", () => {
    const identity = authority.issue("shop/web");
    expect(loadTls(written(identity))).toEqual(identity);
  });

  test("takes several authorities, and a chain that leads to one of them", () => {
    const { certificate } = new Authority("another");
    const identity = authority.issue("shop/web");
    const ca = `${certificate}\n${identity.ca}`;
    expect(loadTls(written({ ...identity, ca })).ca).toBe(ca);
    const below = new Authority("below", authority);
    const deep = below.issue("shop/db");
    const chained = { ...deep, cert: deep.cert + deep.ca, ca: identity.ca };
    expect(loadTls(written(chained))).toEqual(chained);
    expect(refusal(written({ ...deep, ca: identity.ca }))).toContain(
      "was not signed by an authority in ca.pem",
    );
  });

  test("names an option that is not a path", () => {
    const files = written(authority.issue("shop/web"));
    const text = (name: string, got: string): string =>
      `TypeError: security.tls.${name} must be the path of a PEM file, got ${got}`;
    expect([
      refusal({ ...files, key: undefined }),
      refusal({ ...files, ca: "" }),
      refusal({ ...files, cert: 7 }),
      refusal(undefined),
    ]).toEqual([text("key", "undefined"), text("ca", ""), text("cert", "7"), text("cert", "undefined")]);
  });

  test("says why a file cannot be read, with the system's error as the cause", () => {
    const files = written(authority.issue("shop/web"));
    expect(refusal({ ...files, ca: join(dir, "none.pem") })).toBe(
      "Error: security.tls.ca: none.pem does not exist; docs/security.md shows how to make one",
    );
    mkdirSync(join(dir, "folder"));
    expect(refusal({ ...files, cert: join(dir, "folder") })).toBe(
      "Error: security.tls.cert: folder is a directory: give the path of a file in it",
    );
    expect(() => loadTls({ ...files, ca: join(dir, "none.pem") })).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: "ENOENT" }) }),
    );
  });

  test.skipIf(isRoot)("says whose permission is missing", () => {
    const files = written(authority.issue("shop/web"));
    chmodSync(files.cert, 0);
    expect(refusal(files)).toBe(
      `Error: security.tls.cert: cert.pem may not be read by this process (uid ${process.getuid?.()}): change its owner or mode`,
    );
  });

  test("refuses a key that others may read, with the command that mends it", () => {
    const files = written(authority.issue("shop/web"));
    for (const mode of [0o644, 0o640, 0o604, 0o620]) {
      chmodSync(files.key, mode);
      expect(refusal(files)).toBe(
        `Error: security.tls.key: key.pem may be read by other users (mode ${mode.toString(8)}): run chmod 600 key.pem`,
      );
    }
    chmodSync(files.key, 0o400);
    expect(refusal(files)).toBe("it did not refuse");
  });

  test.skipIf(!isRoot)("refuses a key that belongs to another user", () => {
    const files = written(authority.issue("shop/web"));
    chownSync(files.key, 4_321, 0);
    expect(refusal(files)).toBe(
      "Error: security.tls.key: key.pem belongs to another user (uid 4321), who can read it: run chown 0 key.pem",
    );
  });

  test("says which file is not PEM", () => {
    const identity = authority.issue("shop/web");
    const none = "holds no certificate in PEM: it has no line -----BEGIN CERTIFICATE-----";
    expect(refusal(written({ ...identity, cert: "x" }))).toBe(`Error: security.tls.cert: cert.pem ${none}`);
    expect(refusal(written({ ...identity, ca: identity.key }))).toBe(
      `Error: security.tls.ca: ca.pem ${none}`,
    );
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    expect(refusal(written({ ...identity, ca: broken }))).toStartWith(
      "Error: security.tls.ca: ca.pem holds a certificate that cannot be read: ",
    );
    expect(refusal(written({ ...identity, key: identity.cert }))).toBe(
      "Error: security.tls.key: key.pem is not a private key in PEM without a passphrase",
    );
  });

  test("refuses what peers would refuse, and says what it has to be", () => {
    const identity = authority.issue("shop/web");
    const other = authority.issue("shop/db");
    const issued = (options: object): string => refusal(written(authority.issue("shop/web", options)));
    const wanted = "it must have subjectAltName=DNS:furrow,URI:furrow:<subject>";
    expect([
      refusal(written({ ...identity, key: other.key })),
      refusal(written({ ...identity, ca: new Authority().certificate })),
      issued({ notAfter: Date.now() - day }),
      issued({ notBefore: Date.now() + day, notAfter: Date.now() + 2 * day }),
      issued({ dns: "example" }),
      issued({ uri: null }),
      issued({ dns: null, uri: null }),
    ]).toEqual([
      "Error: security.tls.key: key.pem is not the key of the certificate in cert.pem",
      "Error: security.tls.cert: cert.pem was not signed by an authority in ca.pem (security.tls.ca): peers would refuse it",
      "Error: security.tls.cert: cert.pem has expired (DATE): issue a new certificate",
      "Error: security.tls.cert: cert.pem is not valid before DATE: check the clock, or issue a new certificate",
      `Error: security.tls.cert: cert.pem is not for the DNS name furrow: ${wanted}, and has DNS:example, URI:furrow:shop/web`,
      `Error: security.tls.cert: cert.pem does not say whose it is: ${wanted}, and has DNS:furrow`,
      `Error: security.tls.cert: cert.pem is not for the DNS name furrow: ${wanted}, and has no subjectAltName`,
    ]);
  });
});

describe("subjectOf", () => {
  test("reads the one URI of furrow among the names of a certificate", () => {
    expect(subjectOf("DNS:furrow, URI:furrow:shop/web")).toBe("shop/web");
    expect(subjectOf("URI:https://example.com/, URI:furrow:a-b_c.d~e@f+1, DNS:furrow")).toBe("a-b_c.d~e@f+1");
  });

  test("takes nothing for a subject that is not one, or could be two", () => {
    const names = [
      undefined,
      "",
      "DNS:furrow",
      "URI:furrow:",
      "URI:furrow:/a",
      "URI:furrow:a//b",
      "URI:furrow:a b",
      "URI:other:a",
      "URI:furrow:a, URI:furrow:b",
      "URI:furrow:a, URI:FURROW:b",
      String.raw`DNS:"x\u002c URI:furrow:a"`,
      String.raw`URI:"furrow:a\u0000b"`,
      String.raw`URI:furrow:a, URI:"furrow:b\u002c"`,
    ];
    expect(names.map(subjectOf)).toEqual(names.map(() => undefined));
  });
});

describe("docs/security.md", () => {
  test.skipIf(Bun.which("openssl") === null)("has five commands that make what loadTls takes", async () => {
    const document = await Bun.file(join(import.meta.dir, "../../docs/security.md")).text();
    const [, commands = ""] = /^```sh\n([\s\S]*?)^```$/m.exec(document) ?? [];
    expect(commands.trim().split("\n")).toHaveLength(5);
    const shell = Bun.spawn(["sh", "-e", "-c", commands], {
      cwd: dir,
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect([await shell.stdout.text(), await shell.exited]).toEqual(["web.pem: OK\n", 0]);
    const [, options = ""] = /tls: (\{.*\}) \}/.exec(document) ?? [];
    const paths = Array.from(options.matchAll(/(\w+): "([^"]+)"/g), ([, name, path]) => [
      name,
      join(dir, path!),
    ]);
    const identity = loadTls(Object.fromEntries(paths) as TlsFiles);
    expect(subjectOf(new X509Certificate(identity.cert).subjectAltName)).toBe("shop/web");
    // and a peer accepts it
    const driver = tcpDriver(identity);
    const accepted = Promise.withResolvers<Link>();
    const listener = await driver.listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, accepted.resolve);
    const near = await driver.connect(
      listener.address as ParsedTcpAddress,
      new Deadline({ timeout: 5_000 }, "a test"),
    );
    const far = await accepted.promise;
    expect([near.peer, far.peer]).toEqual([
      { kind: "tls", subject: "shop/web" },
      { kind: "tls", subject: "shop/web" },
    ]);
    listener.close();
    near.abort();
    far.abort();
  });
});
