/** The page: one file with all that it needs, and the policy that lets a browser run that and nothing else. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

export interface PageFile {
  readonly html: string;
  /** Sources for the policy: a hash of each script and style in the file. */
  readonly scripts: readonly string[];
  readonly styles: readonly string[];
}

/** Where the built page is: beside the package's bundled files, or in `build/` of a checkout. */
const places = ["page.html", "../../build/page.html"];

/** @throws {Error} when the page hasn't been built */
export async function readPage(): Promise<PageFile> {
  const found = places.map((place) => join(dirname(import.meta.path), place)).find((path) => existsSync(path));
  if (found === undefined)
    throw new Error("the page isn't built in this checkout: run `bun install && bun run page`");
  return pageFile(await Bun.file(found).text());
}

/** Takes the hashes of everything inline. */
export function pageFile(html: string): PageFile {
  return { html, scripts: hashesOf(html, "script"), styles: hashesOf(html, "style") };
}

/** A policy with no `'self'` for anything but the connection to our own server. */
export function contentPolicy({ scripts, styles }: PageFile, socketOrigin: string): string {
  return [
    "default-src 'none'",
    `script-src ${scripts.join(" ")}`,
    `style-src ${styles.join(" ")}`,
    `connect-src 'self' ${socketOrigin}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

function hashesOf(html: string, tag: string): string[] {
  const elements = html.matchAll(new RegExp(`<${tag}(?:\\s[^>]*)?>([\\s\\S]*?)</${tag}>`, "g"));
  return Array.from(
    elements,
    ([, text = ""]) => `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`,
  );
}
