/** `furrow build`: a program and its actors as one executable. */
import { relative } from "node:path";

import type { Command, CommandContext } from "../command.ts";
import { Exit } from "../exit.ts";
import { jsonDocument } from "../json.ts";
import { formatBytes } from "../units.ts";

export const command: Command = {
  usage: "FILE",
  details: `Compiles FILE, everything it imports, and the modules of its actors into an executable that needs neither Bun nor any of
the files. Each actor is a process of the same executable. An actor's module is found when the program names it by a
constant path, as in new URL("./worker.ts", import.meta.url) or import.meta.url; name others with --actors.`,
  example: "furrow build shop.ts --out dist/shop --actors 'plugins/*.ts'",
  args: { min: 1, max: 1 },
  options: {
    out: {
      type: "string",
      short: "o",
      value: "OUT",
      summary: "the executable; default FILE without its ending",
    },
    actors: {
      type: "string",
      multiple: true,
      value: "GLOB",
      summary: "further modules that actors may have, relative to this folder",
    },
    minify: { type: "boolean", summary: "shorten the code" },
    "no-bytecode": { type: "boolean", summary: "don't compile ahead: smaller, and actors start slower" },
    target: {
      type: "string",
      value: "TARGET",
      summary: "another system: bun-linux-arm64, say; see bun build",
    },
  },
  run: build,
};

async function build(context: CommandContext): Promise<number> {
  const { buildProgram } = await import("../build/build.ts");
  const { flags } = context;
  const [file = ""] = context.args;
  const target = flags["target"] as string | undefined;
  const result = await buildProgram({
    file,
    outfile: (flags["out"] as string | undefined) ?? file.replace(/\.[^./]+$/, ""),
    actors: (flags["actors"] as readonly string[] | undefined) ?? [],
    minify: flags["minify"] === true,
    bytecode: flags["no-bytecode"] !== true,
    signal: context.signal,
    ...(target !== undefined && { target }),
  });
  if (context.json) await context.out(jsonDocument({ builds: [result] }));
  else {
    const modules = result.actors.map((path) => `  ${path}\n`).join("");
    await context.out(
      `${relative(process.cwd(), result.outfile)}  ${formatBytes(result.bytes)}, actors may have these modules:\n${modules}`,
    );
  }
  return Exit.ok;
}
