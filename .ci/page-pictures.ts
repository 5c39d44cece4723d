/**
 * Takes the pictures of the page for docs/page.md, in a real Chromium: `bun .ci/page-pictures.ts [FOLDER]`. Each shows a real tree,
 * except that of 500 actors, which are told to the page over its own WebSocket.
 */
import { join } from "node:path";

import { readPage } from "../src/page/page-file.ts";
import { servePage } from "../src/page/server.ts";
import { testTree } from "../src/testing.ts";
import { startFloor } from "../test/fixtures/shop-floor.ts";
import { type BrowserPage, Chromium, findChromium, type OpenOptions } from "../test/support/chromium.ts";
import { crowdScript, tellOfActors, tellOfSamples } from "../test/support/crowd.ts";

const folder = Bun.argv[2] ?? join(import.meta.dir, "../docs/pictures");
const command = findChromium();
if (command === undefined) throw new Error("there is no Chromium on the PATH, and $CHROMIUM names none");
const file = await readPage();
await using chromium = await Chromium.start(command);

/** Starts a tree and opens the page on it. */
async function withTree(
  isBusy: boolean,
  opening: OpenOptions,
  take: (page: BrowserPage, tree: Awaited<ReturnType<typeof testTree>>) => Promise<void>,
): Promise<void> {
  await using tree = await testTree({ name: "shop", strategy: "one-for-one" });
  if (isBusy || opening.before === undefined) await startFloor(tree.nursery, isBusy);
  const { registryAddrs } = tree.actor;
  await using served = servePage({ port: 0, mayAct: false, file, registryAddrs });
  const page = await chromium.open(served.url, opening);
  await page.until(`document.querySelector(".row[aria-level]")`);
  await take(page, tree);
  await page.close();
}

async function save(page: BrowserPage, name: string): Promise<void> {
  const picture = await page.screenshot();
  await Bun.write(join(folder, `page-${name}.webp`), picture);
  console.log(`page-${name}.webp: ${picture.length} B`);
}

async function select(page: BrowserPage, name: string): Promise<void> {
  await page.evaluate(
    `[...document.querySelectorAll(".row[aria-level]")].find((row) => row.innerText.includes("${name}")).click()`,
  );
}

await withTree(false, {}, async (page) => {
  await Bun.sleep(15_000);
  await select(page, "orders");
  await Bun.sleep(3_000);
  await save(page, "calm");
});
await withTree(true, { dark: true }, async (page, tree) => {
  await Bun.sleep(5_000);
  await select(page, "market");
  await Bun.sleep(45_000);
  await save(page, "loaded-dark");
  tree.freeze("web-1");
  await select(page, "web-1");
  await Bun.sleep(9_000);
  await save(page, "frozen");
  tree.thaw("web-1");
  await Bun.sleep(4_000);
  await tree.kill("ledger");
  await Bun.sleep(2_500);
  await select(page, "ledger");
  await Bun.sleep(1_500);
  await save(page, "dead");
  await page.size(390, 844);
  await select(page, "market");
  await Bun.sleep(2_500);
  await save(page, "narrow");
});
await withTree(false, { before: crowdScript }, async (page) => {
  await page.evaluate(tellOfActors);
  for (let second = 0; second < 20; second++) {
    await page.evaluate(tellOfSamples(second));
    await Bun.sleep(1_000);
  }
  await page.evaluate(`document.querySelector(".tree .scroller").scrollTop = 4_000`);
  await Bun.sleep(200);
  await save(page, "500-actors");
});
