/** The commands that change a tree. */
import { join } from "node:path";

import { beside, clientExits, everywhere } from "../../support/cells.ts";
import type { Cell, Rows } from "../../support/matrix.ts";
import type { Stage } from "../../support/stage.ts";

const versioned = join(import.meta.dir, "../../fixtures/versioned.ts");

/** An actor that is stopped by a signal, and goes on after the command. */
function frozen(name: string): Required<Pick<Cell, "before">> {
  return {
    async before({ shop: { tree } }: Stage) {
      tree.freeze(name);
      return { [Symbol.asyncDispose]: async () => tree.thaw(name) };
    },
  };
}

/** One that takes part in no other cell, because of what happens to it. */
const web = beside("web");

export const change: Rows = {
  stop: {
    forms: { "": everywhere(["stop", "web"], "stop", web) },
    exits: clientExits(["stop", "market"], {
      usage: { words: ["stop"] },
      noActor: { words: ["stop", "markt"] },
      timeout: { words: ["stop", "market", "--timeout", "200ms"], ...frozen("market") },
    }),
  },
  drain: {
    forms: { "": everywhere(["drain", "web"], "stop", web) },
    exits: clientExits(["drain", "market"], {
      usage: { words: ["drain", "market", "--timeout", "soon"] },
      noActor: { words: ["drain", "markt"] },
      timeout: { words: ["drain", "market", "--timeout", "200ms"], ...frozen("market") },
    }),
  },
  restart: {
    forms: { "": everywhere(["restart", "web"], "restart", web) },
    exits: clientExits(["restart", "market"], {
      usage: { words: ["restart", "shop"] },
      noActor: { words: ["restart", "markt"] },
      timeout: { words: ["restart", "台帳", "--timeout", "200ms"], ...frozen("orders") },
    }),
  },
  replace: {
    forms: { "": everywhere(["replace", "web", versioned], "restart", web) },
    exits: clientExits(["replace", "market", versioned], {
      failed: { words: ["replace", "market", join(import.meta.dir, "../../fixtures/broken.ts")] },
      usage: { words: ["replace", "market", "./nowhere.ts"] },
      noActor: { words: ["replace", "markt", versioned] },
      timeout: { words: ["replace", "台帳", versioned, "--timeout", "200ms"], ...frozen("orders") },
    }),
  },
};
