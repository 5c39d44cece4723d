/**
 * Sends pieces that lie apart in memory with one system call: Bun has no gathering write. Of a frame whose value goes out from
 * the caller's memory, the few bytes in front of it would otherwise arrive alone, wake the reader for nothing, and leave every
 * value to be put together from two chunks (row `stream.64k`).
 *
 * For unix sockets on Linux, where the layout of `struct msghdr` is known. See sendmsg(2).
 */
import { ptr } from "bun:ffi";

import { openLibc } from "./libc.ts";
import { mostPieces, type Piece } from "./send-queue.ts";

const signatures = { sendmsg: { args: ["i32", "ptr", "i32"], returns: "i32" } } as const;

/** MSG_DONTWAIT and MSG_NOSIGNAL. */
const flags = 0x40 | 0x4000;
/**
 * `struct iovec`: an address and a length, 64 bits each, little-endian. With a buffer of its own: a small array without one is
 * moved when code that uses it is compiled, and the header has its address.
 */
const wordsPerPiece = 4;
const vectors = new Uint32Array(new ArrayBuffer(mostPieces * wordsPerPiece * 4));
/** `struct msghdr`: only its third and fourth field are used, the address of the vectors and their number. */
const header = new Uint32Array(14);
const countAt = 6;

let calls: ReturnType<typeof openLibc<typeof signatures>> | undefined;

/** Returns how many bytes of the first `mostPieces` the kernel has taken: 0 if it is full, or the socket has failed. */
export function gather(fd: number, pieces: readonly Piece[]): number {
  if (calls === undefined) {
    calls = openLibc(signatures);
    writeAddress(header, 4, ptr(vectors));
  }
  const length = Math.min(pieces.length, mostPieces);
  for (let index = 0; index < length; index++) {
    const { bytes, start, end } = pieces[index]!;
    const at = index * wordsPerPiece;
    writeAddress(vectors, at, ptr(bytes, start));
    vectors[at + 2] = end - start;
  }
  header[countAt] = length;
  return Math.max(0, calls.sendmsg(fd, header, flags));
}

function writeAddress(words: Uint32Array, at: number, address: number): void {
  words[at] = address;
  words[at + 1] = address / 0x1_0000_0000;
}
