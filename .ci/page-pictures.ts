/**
 * Takes the pictures of the page for docs/page.md, in a real Chromium: `bun .ci/page-pictures.ts [FOLDER]`. Each shows a real tree. The
 * one of 500 actors takes 8 GB of memory and, on two cores, some minutes.
 */
import { join } from "node:path";

import type { Nursery } from "../src/index.ts";
import { readPage } from "../src/page/page-file.ts";
import { servePage } from "../src/page/server.ts";
import { type TestTree, testTree } from "../src/testing.ts";
import { startCrowd } from "../test/fixtures/crowd.ts";
import { startFloor } from "../test/fixtures/shop-floor.ts";
import { type BrowserPage, Chromium, findChromium, type OpenOptions } from "../test/support/chromium.ts";

const folder = Bun.argv[2] ?? join(import.meta.dir, "../docs/pictures");
const command = findChromium();
if (command === undefined) throw new Error("there is no Chromium on the PATH, and $CHROMIUM names none");
const file = await readPage();
await using chromium = await Chromium.start(command);

/** Starts a tree and opens the page on it. */
async function withTree(
  start: (nursery: Nursery) => Promise<unknown>,
  opening: OpenOptions,
  take: (page: BrowserPage, tree: TestTree) => Promise<void>,
): Promise<void> {
  await using tree = await testTree({ name: "shop", strategy: "one-for-one" });
  await start(tree.nursery);
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

const floor =
  (isBusy: boolean) =>
  async (nursery: Nursery): Promise<void> =>
    await startFloor(nursery, isBusy);

await withTree(floor(false), {}, async (page) => {
  await Bun.sleep(15_000);
  await select(page, "orders");
  await Bun.sleep(3_000);
  await save(page, "calm");
});
await withTree(floor(true), { dark: true }, async (page, tree) => {
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
const crowd = async (nursery: Nursery): Promise<unknown> => await startCrowd(nursery, 500, 2_000);

await withTree(crowd, {}, async (page) => {
  await page.until(`document.getElementById("count").innerText === "501 actors"`);
  await Bun.sleep(30_000);
  await page.evaluate(`document.querySelector(".tree .scroller").scrollTop = 4_000`);
  await Bun.sleep(2_000);
  await save(page, "500-actors");
});
