/** Who a peer proves to be over TLS, or what is wrong with it, in words. */
import type { Socket } from "bun";

import { systemCode } from "../errors.ts";

/** The DNS name in every certificate of furrow: the name is always checked, and an address says nothing of who is there. */
export const tlsName = "furrow";

/** What the two ends agree to speak. */
export const tlsProtocol = "furrow/1";

/**
 * Whose certificate it is that has these alternative names (`DNS:furrow, URI:furrow:shop/web`): the subject in the one
 * URI of scheme `furrow`. Undefined where there is none, or more than one.
 */
export function subjectOf(alternativeNames: string | undefined): string | undefined {
  // a name with a comma, a quote or a control character stands in quotes there, with its comma escaped
  const names = (alternativeNames ?? "").split(", ");
  const uris = names.filter((name) => /^URI:"?furrow:/i.test(name));
  if (uris.length !== 1) return undefined;
  return /^URI:furrow:([\w.~@+-]+(?:\/[\w.~@+-]+)*)$/.exec(uris[0]!)?.[1];
}

/** What a handshake came to. */
export type Verdict =
  | { readonly kind: "proved"; readonly subject: string }
  | { readonly kind: "refused"; readonly why: string };

/** Judges the other end of `socket`, from what its `handshake` handler was called with. */
export function judge(socket: Socket<unknown>, isDone: boolean, error: Error | null): Verdict {
  if (error !== null && error !== undefined) return refused(faultOf(socket, error));
  if (!isDone || !socket.authorized) return refused("its certificate was not accepted");
  if (socket.alpnProtocol !== tlsProtocol) {
    return refused(`it speaks TLS, but not ${tlsProtocol} (ALPN)`);
  }
  const names = alternativeNamesOf(socket);
  // of a dialler nobody checks the name but we
  if (!names?.split(", ").includes(`DNS:${tlsName}`)) {
    return refused(
      `its certificate is not for the DNS name ${tlsName}: it has ${names ?? "no alternative name"}`,
    );
  }
  const subject = subjectOf(names);
  if (subject === undefined) {
    return refused(
      `its certificate must have one URI furrow:<subject> as an alternative name, and has ${names ?? "none"}`,
    );
  }
  return { kind: "proved", subject };
}

function refused(why: string): Verdict {
  return { kind: "refused", why };
}

function alternativeNamesOf(socket: Socket<unknown>): string | undefined {
  return socket.getPeerCertificate()?.subjectaltname;
}

const notOurs = "was not signed by an authority of ours (security.tls.ca)";

/** Codes of a certificate that does not hold; the words follow "its certificate". */
const certificateFaults: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet",
  CERT_REVOKED: "has been revoked",
  CERT_SIGNATURE_FAILURE: notOurs,
  DEPTH_ZERO_SELF_SIGNED_CERT: notOurs,
  SELF_SIGNED_CERT_IN_CHAIN: notOurs,
  UNABLE_TO_GET_ISSUER_CERT: notOurs,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: notOurs,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: notOurs,
  ERR_TLS_CERT_ALTNAME_INVALID: `is not for the DNS name ${tlsName}`,
  INVALID_PURPOSE: "is not for this use (extendedKeyUsage)",
};

/** Parts of what BoringSSL says; an alert is the other end's word. The words stand alone. */
const protocolFaults: readonly (readonly [RegExp, string])[] = [
  [/ALERT_(?:CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|UNSUPPORTED_CERT)/, "it refused our certificate"],
  [/NO_APPLICATION_PROTOCOL/, `it speaks TLS, but not ${tlsProtocol} (ALPN)`],
  [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/, "it does not speak TLS 1.3"],
  [/DID_NOT_RETURN_A_CERTIFICATE/, "it showed no certificate"],
  [/WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST/, "it does not speak TLS"],
];

/** Also what a furrow without TLS does, to which a handshake is a malformed frame. */
export const endedEarly = "it ended the connection during the TLS handshake; it may not speak TLS";

/** What went wrong, with the subject of the other end and the system's code where they are known. */
export function faultOf(socket: Socket<unknown>, error: Error): string {
  const code = systemCode(error);
  const fault = certificateFaults[code];
  if (fault !== undefined) {
    const subject = subjectOf(alternativeNamesOf(socket));
    return `its certificate${subject === undefined ? "" : `, which says ${subject},`} ${fault} (${code})`;
  }
  if (code === "ECONNRESET") return endedEarly;
  return protocolFaults.find(([pattern]) => pattern.test(error.message))?.[1] ?? error.message;
}
