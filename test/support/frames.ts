/** Views that are drawn again in their place: what they may write to a terminal, and what it shows. */

/** Up over the lines of the last frame, each new line cleared behind its text, and everything below. */
// oxlint-disable-next-line no-control-regex -- it is about these
const frame = /^\r(?:\u001b\[(\d+)A)?((?:[^\r\n]*\u001b\[K\n)*)\u001b\[J/;

/**
 * The lines of each frame, in order, and what was written after the last one. Fails if the text is anything but frames that are
 * drawn over each other: a view takes over no more of the terminal than its own lines.
 */
export function framesOf(text: string): { readonly frames: string[][]; readonly rest: string } {
  const frames: string[][] = [];
  let left = text;
  for (let match = frame.exec(left); match !== null; match = frame.exec(left)) {
    const [whole, up = "0", body = ""] = match;
    const lines = body.split("\u001b[K\n").slice(0, -1);
    const before = frames.at(-1)?.length ?? 0;
    if (Number(up) !== before)
      throw new Error(`frame ${frames.length + 1} is drawn ${up} lines up, over one of ${before} lines`);
    frames.push(lines);
    left = left.slice(whole.length);
  }
  if (left.includes("\u001b")) throw new Error(`something else than frames: ${JSON.stringify(left)}`);
  return { frames, rest: left };
}
