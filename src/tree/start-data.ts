/**
 * The `data` that an actor is started with. It is encoded once, when `startActor` is called: later changes to the value
 * don't reach the actor, nor its restarts. The child asks for the bytes over its connection to the parent, since an environment
 * variable holds 128 KiB at most.
 */
import { FrameError, LimitError, PermissionDeniedError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Session } from "../rpc/session.ts";
import { Batch } from "../wire/codec.ts";
import { decode } from "../wire/decode.ts";
import { toWire } from "../wire/encode.ts";
import { headerBytes } from "../wire/frame.ts";
import { checkMessage, Kind } from "../wire/messages.ts";
import { readValue } from "../wire/received.ts";

/** Room for what the message that carries the bytes adds to them. */
const envelopeBytes = 32;

/**
 * Encodes the data of a start, as a frame with a result.
 *
 * @throws {EncodeError} when it can't cross; the message has the path
 * @throws {LimitError} when it exceeds `maxFrameBytes` or `maxFrameValues`
 */
export function encodeData(name: string, data: unknown, limits: Limits): Uint8Array {
  const { value, rich } = toWire(data, "data of", name);
  const batch = new Batch(limits.maxFrameValues);
  const parts: Uint8Array[] = [];
  try {
    batch.add([Kind.result, 0, value, rich], limits.maxFrameBytes - envelopeBytes);
    batch.drain((bytes, start, end) => parts.push(new Uint8Array(bytes.subarray(start, end))));
  } catch (error) {
    if (error instanceof LimitError) throw new LimitError(`data of actor "${name}": ${error.message}`);
    throw error;
  } finally {
    batch.clear();
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** In the parent: answers a child that asks for its data. */
export function sendData(session: Session, id: number, data: Uint8Array | undefined): void {
  try {
    if (data === undefined)
      throw new PermissionDeniedError("only a child that is started with data may ask for it");
    session.peer.channel.sendBinary(Kind.result, id, data);
  } catch (error) {
    session.replyError(id, error);
  }
}

/** In the child: asks the parent for the data. */
export async function fetchData(parent: Session): Promise<unknown> {
  const frame = await parent.request([Kind.data, 0]);
  if (!(frame instanceof Uint8Array)) throw new FrameError("the parent's answer holds no data");
  const message = checkMessage(decode(frame, headerBytes, frame.length));
  if (message[0] !== Kind.result) throw new FrameError("the parent's answer holds no data");
  return readValue(message);
}
