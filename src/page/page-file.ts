/** The page: one file with all that it needs, and the policy that lets a browser run that and nothing else. */
import { dirname, join } from "node:path";

/** In the package, beside the bundled files. */
export const pageFileName = "page.html";

export interface PageFile {
  readonly html: string;
  /** Sources for the policy: a hash of each script and style in the file. */
  readonly scripts: readonly string[];
  readonly styles: readonly string[];
}

/**
 * The page: from its file in the package, or built in a checkout.
 *
 * @throws {Error} when it can't be built
 */
export async function readPage(): Promise<PageFile> {
  const packed = Bun.file(join(dirname(import.meta.path), pageFileName));
  if (await packed.exists()) return pageFile(await packed.text());
  const { buildPage } = await import("./build.ts");
  return pageFile(await buildPage());
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
