/** 500 actors: more than a test's machine has room for, so the page is told of them as its server would tell it. */

/** For a page before its own scripts: keeps its socket where `tellOf…` finds it. */
export const crowdScript: string = `
  const Own = WebSocket;
  window.WebSocket = class extends Own {
    constructor(...args) {
      super(...args);
      window.ownSocket = this;
    }
  };`;

/** Has the page receive a message. */
function tell(message: string): string {
  return `window.ownSocket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(${message}) }))`;
}

const uuids = `Array.from({ length: 499 }, (_, at) => "0000" + String(at + 1).padStart(4, "0"))`;

/** That they are registered, below the actor that is. */
export const tellOfActors: string = tell(`{
  type: "actors", isWhole: false, gone: [],
  present: ${uuids}.map((uuid, at) => ({
    uuid, name: "actor-" + (at + 1), pid: at + 1, host: "", parent: document.querySelector(".row[aria-level]").id.slice(4),
    startedAt: Date.now(), version: null, metadata: {}, state: "ready", functions: [], addrs: [],
  })),
}`);

/** A sample of each, as of that second; the event loops of the first `late` were late. */
export function tellOfSamples(second: number, late = 0): string {
  const calls = `Math.round(${second} * at * (1 + 0.2 * Math.sin(${second} + at)))`;
  return tell(`{
    type: "samples",
    samples: ${uuids}.map((uuid, at) => ({
      uuid, clockMs: ${second * 1_000}, sinceMs: 0, everyMs: 1_000, rssBytes: 42 << 20, cpuSeconds: ${second} * 0.01 * (at % 10), lagMs: at < ${late} ? 300 : 1,
      calls: ${calls}, failed: 0, buckets: [0, ${calls}], callsInFlight: 0, callsWaiting: 0, streams: [], streamsLeftOut: 0,
    })),
  }`);
}
