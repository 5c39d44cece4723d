/**
 * An actor's TLS certificate, key and trusted authorities: read from files, and checked before the first peer sees
 * them. Load this module only if TLS is configured: it imports `node:crypto`.
 *
 * A furrow certificate has two alternative names: the DNS name `furrow`, the same in all of them, and a URI
 * `furrow:<subject>`, which identifies the owner.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

import { asError, systemCode } from "../errors.ts";
import { subjectOf, tlsName } from "./tls-peer.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  /** This actor's certificate, then any intermediate ones. */
  readonly cert: string;
  /** Its private key, without a passphrase, readable only by its owner. */
  readonly key: string;
  /** The only authorities trusted to sign peers' certificates. */
  readonly ca: string;
}

/** The contents of those files, in PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/**
 * Reads `files` and checks that a peer with the same authority would accept them. Each error message names the
 * option, the path and, where possible, the remedy.
 *
 * @throws {TypeError} when an option isn't a path
 * @throws {Error} when a file can't be read (`cause`: why) or used: it isn't PEM, other users can read the key, the
 *   key doesn't match the certificate, or the certificate isn't valid now, isn't for furrow or isn't from the
 *   authority
 */
export function loadTls(files: TlsFiles): TlsIdentity {
  const cert = read("cert", files?.cert);
  const key = read("key", files?.key);
  const ca = read("ca", files?.ca);
  checkPrivate(files.key);
  const chain = parseCertificates("cert", files.cert, cert);
  const authorities = parseCertificates("ca", files.ca, ca);
  const [own] = chain;
  if (!own.checkPrivateKey(parseKey(files.key, key))) {
    throw new Error(`${option("key", files.key)} is not the key of the certificate in ${files.cert}`);
  }
  checkCertificate(files.cert, own);
  if (!leadsTo(own, chain, authorities)) {
    throw new Error(
      `${option("cert", files.cert)} was not signed by an authority in ${files.ca} (security.tls.ca): peers would refuse it`,
    );
  }
  return { cert, key, ca };
}

type Option = keyof TlsFiles;

function option(name: Option, path: string): string {
  return `security.tls.${name}: ${path}`;
}

function read(name: Option, path: unknown): string {
  if (typeof path !== "string" || path === "") {
    throw new TypeError(`security.tls.${name} must be the path of a PEM file, got ${String(path)}`);
  }
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = systemCode(error);
    const why: Record<string, string> = {
      ENOENT: "does not exist; docs/security.md shows how to make one",
      EACCES: `is not readable by this process (uid ${process.getuid?.()}): change its owner or mode`,
      EISDIR: "is a directory: give the path of a file in it",
    };
    const text = `${option(name, path)} ${why[code] ?? `cannot be read: ${asError(error).message}`}`;
    throw new Error(text, { cause: error });
  }
}

/** Only its owner may read a key; root's may be readable by a group, as when it is mounted into containers. */
function checkPrivate(path: string): void {
  const { mode, uid } = statSync(path);
  if (process.getuid === undefined) return;
  if (uid !== 0 && uid !== process.getuid()) {
    throw new Error(
      `${option("key", path)} belongs to another user (uid ${uid}), who can read it: run chown ${process.getuid()} ${path}`,
    );
  }
  const permitted = uid === 0 && process.getuid() !== 0 ? 0o740 : 0o700;
  if ((mode & 0o777 & ~permitted) === 0) return;
  throw new Error(
    `${option("key", path)} is readable by other users (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}`,
  );
}

type Chain = readonly [X509Certificate, ...X509Certificate[]];

function parseCertificates(name: Option, path: string, text: string): Chain {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  try {
    const [first, ...rest] = blocks.map((block) => new X509Certificate(block));
    if (first !== undefined) return [first, ...rest];
  } catch (error) {
    const text_ = `${option(name, path)} holds a certificate that cannot be read: ${asError(error).message}`;
    throw new Error(text_, { cause: error });
  }
  throw new Error(
    `${option(name, path)} holds no certificate in PEM: it has no line -----BEGIN CERTIFICATE-----`,
  );
}

function parseKey(path: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw new Error(`${option("key", path)} is not a private key in PEM without a passphrase`, {
      cause: error,
    });
  }
}

function checkCertificate(path: string, certificate: X509Certificate): void {
  const { validFrom, validTo, subjectAltName } = certificate;
  const which = option("cert", path);
  const now = Date.now();
  if (now > Date.parse(validTo))
    throw new Error(`${which} has expired (${validTo}): issue a new certificate`);
  if (now < Date.parse(validFrom)) {
    throw new Error(`${which} is not valid before ${validFrom}: check the clock, or issue a new certificate`);
  }
  const wanted = `subjectAltName=DNS:${tlsName},URI:furrow:<subject>`;
  const has = subjectAltName === undefined ? "has no subjectAltName" : `has ${subjectAltName}`;
  if (certificate.checkHost(tlsName) === undefined) {
    throw new Error(`${which} is not for the DNS name ${tlsName}: it must have ${wanted}, but ${has}`);
  }
  if (subjectOf(subjectAltName) === undefined) {
    throw new Error(`${which} does not identify its owner: it must have ${wanted}, but ${has}`);
  }
}

/** Whether `certificate` is signed by an authority, directly or through certificates of the chain. */
function leadsTo(certificate: X509Certificate, chain: Chain, authorities: Chain): boolean {
  const isSignedBy = (issuer: X509Certificate, one: X509Certificate): boolean =>
    one.checkIssued(issuer) && one.verify(issuer.publicKey);
  let at = certificate;
  // bounded by the chain's length, so that two that sign each other don't loop for ever
  for (let step = 0; step <= chain.length; step++) {
    const current = at;
    if (authorities.some((authority) => isSignedBy(authority, current))) return true;
    const next = chain.find((issuer) => issuer !== current && isSignedBy(issuer, current));
    if (next === undefined) return false;
    at = next;
  }
  return false;
}
