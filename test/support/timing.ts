import { timing } from "../../src/deadline.ts";

/** Changes waits of furrow in this process until it is disposed. */
export function setTiming(waits: Partial<typeof timing>): Disposable {
  const before = { ...timing };
  Object.assign(timing, waits);
  return { [Symbol.dispose]: () => void Object.assign(timing, before) };
}
