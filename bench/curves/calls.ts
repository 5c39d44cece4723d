/** Calls in flight over one connection. */
import { findActor } from "../../src/index.ts";
import type * as actor from "../fixtures/curve-actor.ts";
import { inFlight, pingBytes } from "../raw/echo.ts";
import { PatientEchoClient } from "../raw/patient-echo.ts";
import { text } from "../rows/rpc.ts";
import type { Curve } from "./curve.ts";
import { joinServer, openServer, perSecond, sampleBeside } from "./scene.ts";

export const calls: Curve = {
  id: "calls",
  title: "Calls in flight over one connection",
  about:
    "Calls of 32 bytes each way, over one unix socket; each lane awaits its call before it makes the next. A peer may have 65,536 in flight by default.",
  counts: "calls in flight",
  sizes: [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536],
  measures: [{ id: "rate", what: "calls per second", unit: "perSecond", baseline: "raw echo" }],
  async measure(size, scene) {
    await using server = await openServer(scene);
    await using _actor = await joinServer(server);
    await using portal = await findActor<typeof actor>("server", { raiseOnNone: true });
    await using raw = await PatientEchoClient.connect(server.places.patientEcho, pingBytes, size);
    const call = inFlight(() => portal.run.echo(text), size);
    return {
      rate: perSecond(
        await sampleBeside(
          scene,
          call,
          inFlight(() => raw.ping(), size),
        ),
      ),
    };
  },
};
