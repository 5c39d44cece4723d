/** The whole page. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { Details } from "./details.tsx";
import { Events } from "./events.tsx";
import { Header } from "./header.tsx";
import { Log } from "./log.tsx";
import type { Model } from "./model.ts";
import { Registry } from "./registry.tsx";
import { Streams } from "./streams-table.tsx";
import { Tree } from "./tree.tsx";
import { Warnings } from "./warning-list.tsx";

export function App({ model }: { readonly model: Model }): JSX.Element {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof HTMLInputElement;
      if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        document.getElementById("filter")?.focus();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <Header model={model} />
      <main>
        <div class="left">
          <Warnings model={model} />
          <Tree model={model} />
          <Streams model={model} />
          <Registry model={model} />
        </div>
        <div class="right">
          <Details model={model} />
          <Log model={model} />
          <Events model={model} />
        </div>
      </main>
    </>
  );
}
