/**
 * What a nursery and its spare processes have to agree on, and the socket between them. The spare sends a byte when it has loaded
 * everything, gets the `ChildInit` of its actor as one line, and sends a byte when it has that; then both close it. A spare ends
 * with the socket.
 */

import { socketPath } from "../transport/socket-paths.ts";
import { spareTitle } from "./child-init.ts";

/** Its descriptor in the spare process. */
export const ordersFd = 3;

/** Opens one end of it. `onData` gets what the other end sends, `onClose` is called when the socket is closed. */
export async function openOrders(
  fd: number,
  onData: (bytes: Uint8Array, socket: Bun.Socket) => void,
  onClose = (): void => {},
): Promise<Bun.Socket> {
  const options: Bun.FdSocketOptions = {
    fd,
    socket: {
      data: (socket, bytes) => onData(bytes, socket),
      close: onClose,
      // it is closed after that
      error() {},
    },
  };
  // Bun's types have the options, but not that it takes them
  return await Bun.connect(options as unknown as Bun.UnixSocketOptions);
}

/** Where a spare process listens while it rehearses. `dir`: see `SpareInit`. @throws {AddressError} when that is too long */
export function rehearsalPath(dir: string, pid: number): string {
  return socketPath(dir, spareTitle, pid);
}
