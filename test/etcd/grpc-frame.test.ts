import { describe, expect, test } from "bun:test";

import { FrameError } from "../../src/errors.ts";
import { frameOf, GrpcDecoder } from "../../src/etcd/grpc-frame.ts";

function decode(...chunks: readonly Uint8Array[]): { messages: string[]; isBroken: boolean } {
  const messages: string[] = [];
  const decoder = new GrpcDecoder((message) => messages.push(Buffer.from(message).toString()));
  for (const chunk of chunks) decoder.push(chunk);
  return { messages, isBroken: decoder.isBroken };
}

describe("GrpcDecoder", () => {
  const texts = ["one", "", "the third message"];
  const bytes = Buffer.concat(texts.map((text) => frameOf(Buffer.from(text))));

  test("finds messages at every split", () => {
    for (let at = 0; at <= bytes.length; at++) {
      expect(decode(bytes.subarray(0, at), bytes.subarray(at))).toEqual({ messages: texts, isBroken: false });
    }
  });

  test("finds messages that come byte by byte", () => {
    expect(decode(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual({
      messages: texts,
      isBroken: false,
    });
  });

  test("knows that half a message is none", () => {
    expect(decode(bytes.subarray(0, -1))).toEqual({ messages: texts.slice(0, 2), isBroken: true });
  });

  test("reads a message of many chunks", () => {
    const large = frameOf(new Uint8Array(1_000_000).fill(97));
    const chunks = Array.from({ length: 100 }, (_, index) =>
      large.subarray(index * 10_001, (index + 1) * 10_001),
    );
    expect(decode(...chunks).messages[0]).toHaveLength(1_000_000);
  });

  test("refuses a message that no server of a directory sends, before it has come", () => {
    expect(() => decode(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff))).toThrow(FrameError);
  });

  test("refuses a compressed message", () => {
    expect(() => decode(Uint8Array.of(1, 0, 0, 0, 0))).toThrow(FrameError);
  });
});
