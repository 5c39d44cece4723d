/** Large binaries are not copied into a frame, but written from the caller's memory. */

/** A binary of this many bytes or more is a large one. */
export const largeBinaryBytes = 16_384;

/** Tags the bytes of a Buffer in rich form: see `values.ts`. */
export const bufferTag = 6;

/** Stands for a large binary inside a message that is being encoded. */
export class LargeBinary {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}
