/** The page's WebSocket: connects again when it's lost, and tells the server what is shown. */
import { effect } from "@preact/signals";

import type { ServerMessage, ShowMessage } from "../protocol.ts";
import type { Model } from "./model.ts";

const retryMs = 1_000;
/** How long the rows in sight must stay before the server hears of them. */
const settleMs = 250;

/** Keeps the model up to date for as long as the page is there. */
export function connect(model: Model): void {
  let socket: WebSocket | undefined;
  let isOpen = false;
  const show = (): void => {
    if (!isOpen) return;
    const message: ShowMessage = {
      type: "show",
      isVisible: document.visibilityState === "visible",
      selected: model.selected.peek(),
      log: true,
      inSight: model.inSight.peek(),
    };
    socket!.send(JSON.stringify(message));
  };
  const open = (): void => {
    socket = new WebSocket(new URL("live", location.href.replace(/^http/, "ws").replace(/[?#].*$/, "")));
    socket.onopen = () => {
      isOpen = true;
      model.connection.value = "live";
      model.seenSince.value = Date.now();
      show();
    };
    socket.onmessage = ({ data }) => model.receive(JSON.parse(String(data)) as ServerMessage);
    socket.onclose = () => {
      isOpen = false;
      model.connection.value = "lost";
      setTimeout(open, retryMs);
    };
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") model.seenSince.value = Date.now();
    show();
  });
  effect(() => {
    void model.selected.value;
    show();
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    void model.inSight.value;
    // not while the rows fly past
    clearTimeout(timer);
    timer = setTimeout(show, settleMs);
  });
  open();
}
