/** X.509 certificates for tests, created at run time: P-256 keys, signed by an authority. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { TlsFiles, TlsIdentity } from "../../src/transport/tls.ts";

const day = 86_400_000;

export interface CertificateOptions {
  /** The URI in the subject's alternative names; null for none. */
  readonly uri?: string | null;
  /** The DNS name in the subject's alternative names; null for none. */
  readonly dns?: string | null;
  /** Milliseconds since 1970. */
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** Writes an identity to files in `dir`, as the option `security.tls` expects them. */
export function writeTls(dir: string, name: string, identity: TlsIdentity): TlsFiles {
  const write = (part: keyof TlsIdentity): string => {
    const path = join(dir, `${name}.${part}.pem`);
    writeFileSync(path, identity[part], { mode: 0o600 });
    return path;
  };
  return { cert: write("cert"), key: write("key"), ca: write("ca") };
}

/** A certificate authority. */
export class Authority {
  /** PEM. */
  readonly certificate: string;
  readonly #name: string;
  readonly #key: KeyObject;

  /** Signed by `parent`, or by itself. */
  constructor(name = "a test authority", parent?: Authority) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#name = name;
    this.#key = privateKey;
    this.certificate = (parent ?? this).#sign(name, publicKey, {}, [
      extension("2.5.29.19", sequence(tagged(0x01, [0xff])), true),
      extension("2.5.29.15", tagged(0x03, [0x02, 0x04]), true),
    ]);
  }

  /** Issues a certificate for `subject` as furrow requires it, changed by `options`. */
  issue(subject: string, options: CertificateOptions = {}): TlsIdentity {
    const { uri = `furrow:${subject}`, dns = "furrow" } = options;
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = [
      ...(dns === null ? [] : [tagged(0x82, Buffer.from(dns))]),
      ...(uri === null ? [] : [tagged(0x86, Buffer.from(uri))]),
    ];
    const cert = this.#sign(subject, publicKey, options, [
      extension("2.5.29.37", sequence(objectId("1.3.6.1.5.5.7.3.1"), objectId("1.3.6.1.5.5.7.3.2"))),
      ...(names.length === 0 ? [] : [extension("2.5.29.17", sequence(...names))]),
    ]);
    return {
      cert,
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      ca: this.certificate,
    };
  }

  #sign(subject: string, key: KeyObject, options: CertificateOptions, extensions: Uint8Array[]): string {
    const algorithm = sequence(objectId("1.2.840.10045.4.3.2"));
    const { notBefore = Date.now() - day, notAfter = Date.now() + day } = options;
    const body = sequence(
      tagged(0xa0, tagged(0x02, [2])),
      tagged(0x02, [1, ...randomBytes(8)]),
      algorithm,
      commonName(this.#name),
      sequence(time(notBefore), time(notAfter)),
      commonName(subject),
      key.export({ type: "spki", format: "der" }),
      tagged(0xa3, sequence(...extensions)),
    );
    const certificate = sequence(body, algorithm, tagged(0x03, [0, ...sign("sha256", body, this.#key)]));
    return pem("CERTIFICATE", certificate);
  }
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replaceAll(/.{64}/g, "$&\n").trim();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** A value of DER: tag, length, content. */
function tagged(tag: number, content: Iterable<number>): Uint8Array {
  const bytes = Uint8Array.from(content);
  const { length } = bytes;
  const lengthBytes =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.from([tag, ...lengthBytes, ...bytes]);
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return tagged(0x30, Buffer.concat(parts));
}

function commonName(name: string): Uint8Array {
  const value = sequence(objectId("2.5.4.3"), tagged(0x0c, Buffer.from(name)));
  return sequence(tagged(0x31, value));
}

function time(ms: number): Uint8Array {
  // generalized time, with four digits for the year
  const digits = new Date(ms).toISOString().replaceAll(/\D/g, "").slice(0, 14);
  return tagged(0x18, Buffer.from(`${digits}Z`));
}

function extension(id: string, value: Uint8Array, isCritical = false): Uint8Array {
  const critical = isCritical ? [tagged(0x01, [0xff])] : [];
  return sequence(objectId(id), ...critical, tagged(0x04, value));
}

function objectId(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const digits = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return tagged(0x06, bytes);
}
