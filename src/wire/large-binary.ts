/** Large binaries: not copied into a frame, but written from the caller's memory. */

/** From this size on, in bytes, a binary value is a large one. */
export const largeBinaryBytes = 16_384;

/** Goes before the bytes of a Buffer in rich form, see `values.ts`. */
export const bufferTag = 6;

/** Stands for a large binary inside a message that is being encoded. */
export class LargeBinary {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}
