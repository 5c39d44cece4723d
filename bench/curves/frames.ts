/** Frames of growing size. */
import { findActor } from "../../src/index.ts";
import type * as actor from "../fixtures/curve-actor.ts";
import { PatientEchoClient } from "../raw/patient-echo.ts";
import type { Curve } from "./curve.ts";
import { joinServer, openServer, perSecond, sampleBeside } from "./scene.ts";

const mebibyte = 1_048_576;
/** The largest frame that the limits allow; its message needs a little of it. */
const largest = 64 * mebibyte;
const overhead = 256;

export const frames: Curve = {
  id: "frames",
  title: "The size of a frame",
  about:
    "A call takes so many bytes and returns them; one after the other, over one unix socket. A frame of 64 MiB is the largest that the limits allow by default.",
  counts: "bytes in the frame",
  sizes: [1, 64, 1_024, 16_384, 262_144, mebibyte, 16 * mebibyte, largest],
  measures: [
    { id: "call", what: "a call that returns what it is given", unit: "ns", baseline: "raw echo" },
    { id: "throughput", what: "there and back together", unit: "bytesPerSecond", baseline: "raw echo" },
  ],
  async measure(size, scene) {
    const bytes = Math.min(size, largest - overhead);
    await using server = await openServer(scene);
    await using _actor = await joinServer(server);
    await using portal = await findActor<typeof actor>("server", { raiseOnNone: true });
    await using raw = await PatientEchoClient.connect(server.places.patientEcho, bytes, 1);
    const message = new Uint8Array(bytes);
    const call = await sampleBeside(
      scene,
      { run: () => portal.run.echoBytes(message) },
      { run: () => raw.ping() },
    );
    return { call, throughput: perSecond(call, 2 * bytes) };
  },
};
