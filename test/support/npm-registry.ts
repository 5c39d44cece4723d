/** A package registry on loopback, so that a document's `bun add furrow` works before furrow is published. */
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
/** The files that `bun run package` reads. */
const sources = [
  "src",
  "docs",
  ".ci",
  "package.json",
  "README.md",
  "CHANGELOG.md",
  "LICENSE",
  "tsconfig.json",
  "tsconfig.types.json",
];
/** The packages that `bun init` installs with `@types/bun`, which only refers to the first. */
const types = ["bun-types", "@types/node", "undici-types"];
/** The packages of a recipe, with all that they depend on. */
const telemetry = readdirSync(join(root, "node_modules/@opentelemetry")).map(
  (name) => `@opentelemetry/${name}`,
);

interface Package {
  readonly manifest: { readonly name: string; readonly version: string };
  readonly tarball: Uint8Array;
}

/** Serves the package as a release packs it, and the types that `bun init` requests. `folder` must be empty. */
export async function openRegistry(folder: string): Promise<{ readonly url: string } & AsyncDisposable> {
  const packages = new Map<string, Package>();
  const others = [...types, ...telemetry].map((name) => join(root, "node_modules", name));
  const folders = [await packFurrow(folder), ...others];
  const packed = await Promise.all(folders.map(pack));
  for (const made of [...packed, await typesOfBun(packed)]) packages.set(made.manifest.name, made);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }): Response => {
      const [, name = "", file] = /^\/(.+?)(\/-)?$/.exec(decodeURIComponent(new URL(url).pathname)) ?? [];
      const found = packages.get(name);
      if (found === undefined) return new Response("not found", { status: 404 });
      return file === undefined
        ? Response.json(describe(found, server.url.href))
        : new Response(found.tarball);
    },
  });
  return { url: server.url.href, [Symbol.asyncDispose]: async () => await server.stop(true) };
}

/** Packs a copy, since other tests and commands use the checkout's `build` at the same time. */
async function packFurrow(folder: string): Promise<string> {
  for (const source of sources) cpSync(join(root, source), join(folder, source), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const run = Bun.spawn([process.execPath, "run", "package"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [code, stderr] = await Promise.all([run.exited, run.stderr.text(), run.stdout.text()]);
  if (code !== 0) throw new Error(`bun run package: ${stderr}`);
  return join(folder, "build/package");
}

async function pack(folder: string): Promise<Package> {
  const files: Record<string, Uint8Array> = {};
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const path = join(folder, name);
    if (statSync(path).isFile()) files[name] = readFileSync(path);
  }
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Package["manifest"];
  return { manifest, tarball: await tarballOf(files) };
}

/** `@types/bun`, which may be missing from the checkout. */
async function typesOfBun(packages: readonly Package[]): Promise<Package> {
  const { version } = packages.find(({ manifest }) => manifest.name === "bun-types")!.manifest;
  const dependencies = { "bun-types": version };
  const manifest = { name: "@types/bun", version, types: "./index.d.ts", dependencies };
  const files = {
    "package.json": JSON.stringify(manifest),
    "index.d.ts": `/// <reference types="bun-types" />\n`,
  };
  return { manifest, tarball: await tarballOf(files) };
}

async function tarballOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<Uint8Array> {
  const entries = Object.entries(files).map(([name, content]) => [`package/${name}`, content]);
  return await new Bun.Archive(Object.fromEntries(entries), { compress: "gzip" }).bytes();
}

function describe({ manifest, tarball }: Package, url: string): object {
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const dist = { tarball: `${url}${manifest.name}/-`, integrity };
  const { name, version } = manifest;
  return { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
}
