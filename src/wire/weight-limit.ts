/**
 * Which frames are too heavy: `maxFrameValues` bounds what a frame may take in memory once it is decoded.
 *
 * A byte of a frame can stand for an empty map, which takes 72 bytes in memory. So both ends weigh every frame that is
 * large enough to matter: the receiver before it decodes it, and the sender before the frame leaves. The sender gets an
 * error then, and no connection ends because of it.
 */

/** Frames of up to this many bytes are not weighed: whatever they hold, it takes a few MB at most. */
const maxUnweighedBytes = 65_536;
/** A frame may take this many times its bytes in memory, */
const bytesPerByte = 10;
/** and on top of that this many bytes for each of `maxFrameValues`. */
const sparePerValue = 8;

/** Loaded for the first large frame. */
let weighing: typeof import("./weigh.ts") | undefined;

/** Frames of more bytes than this must be weighed. */
export function weighedFrom(maxFrameValues: number): number {
  return Math.min(maxUnweighedBytes, maxFrameValues);
}

/**
 * Returns why a frame of `size` bytes must not be sent or decoded, or undefined when it may. Its value is in
 * `bytes[from..to)`; a binary was left out at each position of `missing`.
 */
export function weightFault(
  size: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  maxFrameValues: number,
  missing?: readonly number[],
): string | undefined {
  weighing ??= require("./weigh.ts") as typeof import("./weigh.ts");
  const weight = weighing.weigh(bytes, from, to, maxFrameValues, missing);
  if (weight.values > maxFrameValues)
    return `frame of ${size} B holds ${weight.values} values or more: maxFrameValues is ${maxFrameValues}`;
  if (weight.bytes <= bytesPerByte * size + sparePerValue * maxFrameValues) return undefined;
  return (
    `frame of ${size} B takes about ${weight.bytes} B once it is decoded, more than ${bytesPerByte} times its size ` +
    `and ${sparePerValue} B for each of maxFrameValues ${maxFrameValues}`
  );
}
