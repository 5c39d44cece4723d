/** The debugger of a child: how it is asked for, and where it listens, which Bun prints on the child's stderr. */

/** With port 0 Bun takes a free one, so that several actors, and the next process of one, don't compete for it. */
const anyPort = "127.0.0.1:0";
/** What Bun takes after `--inspect=`: a port, a host, or both, and a path. */
const place = /^(?:wss?:\/\/)?(?:\d{1,5}|(?:\[[\da-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?)(?:\/[\w.~%/-]*)?$/;

/**
 * The flags of Bun for the option `inspect`.
 *
 * @throws {RangeError} when it is a text that isn't a port, a host, or both: Bun would listen somewhere else instead
 */
export function inspectFlags(inspect: boolean | string | undefined): string[] {
  if (inspect === undefined || inspect === false) return [];
  if (inspect === true) return [`--inspect=${anyPort}`];
  if (typeof inspect === "string" && place.test(inspect)) return [`--inspect=${inspect}`];
  throw new RangeError(
    `inspect must be true, or where the debugger listens, such as "127.0.0.1:6499/quotes"; got ${JSON.stringify(inspect)}`,
  );
}

/** The lines of Bun's banner. Their order varies. */
const bannerLine = /^(?:-+ Bun Inspector -+|Listening:|Inspect in browser:| {2}(?:wss?|https?):\/\/\S+)$/;
const bannerLines = 6;
/** Longer lines aren't the banner's. */
const maxLineBytes = 1_024;
const newline = 0x0a;

/**
 * Passes a child's stderr on without Bun's banner at its beginning, and calls `onAddress` with the address in it. Whatever
 * comes in place of the banner, such as the reason why the debugger can't listen, is passed on.
 */
export async function* withoutBanner(
  source: AsyncIterable<Uint8Array>,
  onAddress: (address: string) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  let linesLeft = bannerLines;
  for await (const chunk of source) {
    if (linesLeft === 0) {
      yield chunk;
      continue;
    }
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(newline); end >= 0 && linesLeft > 0; end = rest.indexOf(newline)) {
      // it is coloured where FORCE_COLOR is set
      const line = Bun.stripANSI(rest.toString("latin1", 0, end));
      if (!bannerLine.test(line)) {
        linesLeft = 0;
        break;
      }
      if (/^ +wss?:/.test(line)) onAddress(line.trim());
      rest = rest.subarray(end + 1);
      linesLeft--;
    }
    if (rest.length > maxLineBytes) linesLeft = 0;
    if (linesLeft === 0 && rest.length > 0) yield rest;
  }
  if (linesLeft > 0 && rest.length > 0) yield rest;
}
