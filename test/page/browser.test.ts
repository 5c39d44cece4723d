/** The page itself, in a real Chromium: `$CHROMIUM`, or one on the PATH. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { type PageFile, readPage } from "../../src/page/page-file.ts";
import type { PageOptions, ServedPage } from "../../src/page/server.ts";
import { readersOf } from "../../src/tree/child-events.ts";
import { type TestTree, testTree } from "../../src/testing.ts";
import { type BrowserPage, Chromium, findChromium, type OpenOptions } from "../support/chromium.ts";
import { crowdScript, tellOfActors, tellOfSamples } from "../support/crowd.ts";
import { serve } from "../support/page-client.ts";
import { until } from "../support/world.ts";

const module = new URL("../fixtures/page.ts", import.meta.url);
type Page = typeof import("../fixtures/page.ts");

// a browser takes its time on a busy machine
setDefaultTimeout(60_000);

const command = findChromium();
if (command === undefined) console.warn("skipped: no Chromium on the PATH, and $CHROMIUM names none");

/** The text of an actor's row, with single spaces. */
function row(uuid: string): string {
  return `(document.getElementById("row-${uuid}")?.innerText ?? "").replaceAll(/\\s+/g, " ")`;
}

const text = (selector: string): string =>
  `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? "")`;

describe.skipIf(command === undefined)("the page in a browser", () => {
  let chromium: Chromium;
  let file: PageFile;

  beforeAll(async () => {
    file = await readPage();
    chromium = await Chromium.start(command!);
  });

  afterAll(async () => {
    await chromium?.[Symbol.asyncDispose]();
  });

  /** The page as it ships, opened by its link. */
  async function open(
    options: Partial<PageOptions> = {},
    opening: OpenOptions = {},
  ): Promise<{ page: BrowserPage; served: ServedPage } & AsyncDisposable> {
    const served = serve({ file, intervalMs: 100, ...options });
    const page = await chromium.open(served.url, opening);
    await page.until(`document.querySelector("[role=status]")?.innerText.includes("live")`);
    return {
      page,
      served,
      [Symbol.asyncDispose]: async () => {
        // whatever the test was about
        expect(page.complaints).toEqual([]);
        await page.close();
        await served[Symbol.asyncDispose]();
      },
    };
  }

  async function shop(names: readonly string[]): Promise<TestTree> {
    const tree = await testTree({ strategy: "one-for-one", name: "shop" });
    for (const name of names) await tree.nursery.startActor(name, { module, version: "1.0.0" });
    return tree;
  }

  test("shows an actor that is killed as killed, and says so among the events", async () => {
    await using tree = await testTree({ strategy: "one-for-one", name: "shop" });
    const market = await tree.nursery.startActor("market", { module, restart: "on-failure" });
    await using opened = await open();
    const { page } = opened;
    await page.until(`/^├?└?─? ?market ● ready ${market.id.pid} \\d+M/.test(${row(market.id.uuid)})`);
    await until(() => readersOf(currentRuntime()).size > 0);
    process.kill(market.id.pid, "SIGKILL");
    await page.until(`${row(market.id.uuid)}.includes("✕ SIGKILL")`);
    await page.until(`/died\\s+market#${market.id.uuid.slice(0, 8)}.*SIGKILL/.test(${text(".events")})`);
    // its next process takes its place
    await page.until(`/restarted\\s+market/.test(${text(".events")})`);
    await page.until(`${text("#count")} === "2 actors"`);
    expect(await page.evaluate(`document.querySelectorAll(".row[aria-level='2']").length`)).toBe(2);
  });

  test("leaves no token in the address, and reloads with the cookie", async () => {
    await using _tree = await shop([]);
    await using opened = await open();
    const { page, served } = opened;
    const address = served.url.replace(/\?.*/, "");
    expect(await page.evaluate(`location.href`)).toBe(address);
    expect(await page.evaluate(`document.cookie`)).toBe("");
    await page.send("Page.reload");
    await page.until(`${text("#count")} === "1 actor"`);
  });

  test("runs nothing that the server's policy doesn't name", async () => {
    await using _tree = await shop([]);
    const served = serve({
      file: { ...file, html: file.html.replace("<body>", "<body><script>window.evil = 1</script>") },
    });
    await using _ = served;
    const page = await chromium.open(served.url);
    await page.until(`document.querySelector("[role=status]")?.innerText.includes("live")`);
    expect(await page.evaluate(`typeof window.evil`)).toBe("undefined");
    expect(page.complaints.join()).toContain("Content Security Policy");
    await page.close();
  });

  test("warns of a reader that doesn't read: who, what, and for how long", async () => {
    await using tree = await shop(["market"]);
    const web = await tree.nursery.startActor<Page>("web-2", { module });
    const reading = new AbortController();
    const read = web
      .with({ signal: reading.signal })
      .run.readOne("market", "BTC")
      .catch(() => {});
    await using opened = await open();
    const { page } = opened;
    await page.until(`/web-2 has read nothing from market.ticks for \\d+ s/.test(${text("#warnings")})`);
    expect(await page.evaluate<string>(text(".streams tbody"))).toMatch(
      /web-2 → market\s+ticks\s+0\s+0\s+writer \d+ s/,
    );
    reading.abort();
    await read;
    await page.until(`!${text("#warnings")}.includes("web-2")`);
  });

  test("shows how many are interested in a name, and the oldest call of the selected actor", async () => {
    await using tree = await shop(["market"]);
    const web = await tree.nursery.startActor<Page>("web", { module });
    await web.run.call("market", "BTC", 1);
    await using opened = await open();
    const { page } = opened;
    await page.until(`/^market\\s+1\\s+1\\.0\\.0\\s+\\d+\\s+1\\s*$/m.test(${text(".registry tbody")})`);
    const stop = new AbortController();
    const call = web
      .with({ signal: stop.signal })
      .run.untilAborted()
      .catch(() => {});
    await page.evaluate(`document.getElementById("row-${web.id.uuid}").click()`);
    const fact = `${text(".details dl")}.replaceAll(/\\s+/g, " ")`;
    await page.until(`/oldest call untilAborted\\(\\) \\d+ s/.test(${fact})`);
    stop.abort();
    await call;
    await page.until(`/oldest call –/.test(${fact})`);
  });

  test("warns of an actor that is frozen for as long as it is", async () => {
    await using tree = await shop(["cold"]);
    await using opened = await open();
    const { page } = opened;
    await page.until(`/cold ● ready/.test(${text(".tree .rows")}.replaceAll(/\\s+/g, " "))`);
    tree.freeze("cold");
    await page.until(`/cold hasn't answered for \\d+ s/.test(${text("#warnings")})`);
    await page.until(`/cold ◌ silent \\d+ s/.test(${text(".tree .rows")}.replaceAll(/\\s+/g, " "))`);
    tree.thaw("cold");
    await page.until(`!${text("#warnings")}.includes("cold")`);
  });

  test("is used by the keyboard alone: rows, folds, and the filter", async () => {
    await using _tree = await shop(["one", "two", "three"]);
    await using opened = await open();
    const { page } = opened;
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 4`);
    const selected = `(document.querySelector(".row[aria-selected=true] .name")?.innerText ?? "").replace(/\\W*(\\w+).*/s, "$1")`;
    await page.evaluate(`document.querySelector("[role=treegrid]").focus()`);
    for (const [key, name] of [
      ["ArrowDown", "shop"],
      ["ArrowDown", "one"],
      ["End", "two"],
      ["ArrowUp", "three"],
      ["ArrowLeft", "shop"],
    ] as const) {
      await page.press(key);
      await page.until(`${selected} === "${name}"`);
      const active = `document.getElementById(document.querySelector("[role=treegrid]").getAttribute("aria-activedescendant"))`;
      await page.until(`${active}.getAttribute("aria-selected") === "true"`);
    }
    await page.until(`/^shop/i.test(${text("#details-title")})`);
    await page.press("ArrowLeft");
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 1`);
    await page.until(`document.querySelector(".row[aria-level]").getAttribute("aria-expanded") === "false"`);
    await page.press("ArrowRight");
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 4`);
    await page.press("/");
    await page.until(`document.activeElement.id === "filter"`);
    await page.send("Input.insertText", { text: "tw" });
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 2`);
  });

  test("names everything that it shows for screen readers", async () => {
    await using _tree = await shop(["one"]);
    await using opened = await open();
    const { page } = opened;
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 2`);
    await page.evaluate(`document.querySelectorAll(".row[aria-level]")[1].click()`);
    await page.until(`/^one/i.test(${text("#details-title")})`);
    await page.send("Accessibility.enable");
    const { nodes } = (await page.send("Accessibility.getFullAXTree")) as {
      nodes: { ignored: boolean; role?: { value: string }; name?: { value: string } }[];
    };
    const needing = [
      "region",
      "treegrid",
      "table",
      "button",
      "searchbox",
      "log",
      "image",
      "columnheader",
      "group",
    ];
    const nameless = nodes.filter(
      ({ ignored, role, name }) => !ignored && needing.includes(role?.value ?? "") && !name?.value,
    );
    expect(nameless.map(({ role }) => role?.value)).toEqual([]);
    expect(nodes.filter(({ role }) => role?.value === "treegrid").map(({ name }) => name?.value)).toEqual([
      "Actors",
    ]);
  });

  test("fits a narrow window without scrolling sideways", async () => {
    await using _tree = await shop(["one", "two"]);
    await using opened = await open({}, { width: 390 });
    const { page } = opened;
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 3`);
    expect(await page.evaluate(`document.documentElement.scrollWidth`)).toBeLessThanOrEqual(390);
  });

  test("draws only the rows in sight of 500 actors, and changes nothing outside them with their samples", async () => {
    await using _tree = await shop([]);
    await using opened = await open({}, { before: crowdScript });
    const { page } = opened;
    await page.until(`${text("#count")} === "1 actor"`);
    // more actors than this machine has room for, as the server would tell of them
    await page.evaluate(tellOfActors);
    await page.until(`document.querySelector("[role=treegrid]").getAttribute("aria-rowcount") === "501"`);
    const drawn = `document.querySelectorAll(".row[aria-level]").length`;
    expect(await page.evaluate(drawn)).toBeLessThan(70);
    await page.evaluate(`document.querySelector(".tree .scroller").scrollTop = 1e6`);
    await page.until(`${text(".tree .rows")}.includes("actor-499")`);
    expect(await page.evaluate(drawn)).toBeLessThan(70);
    await page.evaluate(tellOfSamples(0));
    await page.until(`/actor-499.*\\b42M/s.test(${text(".tree .rows")})`);
    const changes = await page.evaluate<number>(`new Promise((resolve) => {
      let changes = 0;
      new MutationObserver((records) => (changes += records.length)).observe(document.querySelector(".tree"), {
        subtree: true, childList: true, characterData: true, attributes: true,
      });
      ${tellOfSamples(1)};
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(changes)));
    })`);
    // two samples make a rate and a point of the line in each row
    expect(changes).toBeLessThan(70 * 12);
  });

  test("finds room for many warnings beside a long tree, and for the titles of the registry's columns", async () => {
    await using _tree = await shop([]);
    await using opened = await open({}, { before: crowdScript });
    const { page } = opened;
    await page.until(`${text("#count")} === "1 actor"`);
    await page.evaluate(tellOfActors);
    await page.evaluate(tellOfSamples(0, 9));
    await page.until(`/and 1 more/.test(${text("#warnings")})`);
    const overflow = await page.evaluate<number>(
      `document.querySelector("#warnings").scrollHeight - document.querySelector("#warnings").clientHeight`,
    );
    expect(overflow).toBe(0);
    const cut = await page.evaluate<string[]>(
      `[...document.querySelectorAll(".registry th")].filter((th) => th.scrollWidth > th.clientWidth).map((th) => th.innerText)`,
    );
    expect(cut).toEqual([]);
  });

  test("stops an actor after a question, if the user allowed that", async () => {
    await using _tree = await shop(["one", "two"]);
    await using opened = await open({ mayAct: true });
    const { page } = opened;
    await page.until(`document.querySelectorAll(".row[aria-level]").length === 3`);
    await page.evaluate(`document.querySelectorAll(".row[aria-level]")[1].click()`);
    await page.until(`/^one/i.test(${text("#details-title")})`);
    const click = (label: string): Promise<void> =>
      page.evaluate(
        `[...document.querySelectorAll(".actions button")].find((one) => one.innerText === "${label}").click()`,
      );
    await click("Stop");
    await page.until(`document.querySelector("[role=alert]")?.innerText === "Stop one?"`);
    await click("No");
    await page.until(`[...document.querySelectorAll(".actions button")].length === 3`);
    await click("Stop");
    await page.until(`document.querySelector(".danger") !== null`);
    await click("Yes");
    await page.until(`${text("#count")} === "2 actors"`);
  });

  test("ends what runs for it when its tab is hidden", async () => {
    await using _tree = await shop(["one"]);
    await using opened = await open();
    const { page, served } = opened;
    await page.until(`/ready/.test(${text(".tree .rows")})`);
    await until(() => served.probeCount === 2);
    const other = await chromium.open("about:blank");
    await other.send("Page.bringToFront");
    await page.evaluate(
      `Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }), document.dispatchEvent(new Event("visibilitychange"))`,
    );
    await until(() => served.probeCount === 0);
    await page.evaluate(
      `delete document.visibilityState, document.dispatchEvent(new Event("visibilitychange"))`,
    );
    await other.close();
  });
});
