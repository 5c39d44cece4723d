/** An error as the command line prints it: what, and what to do about it. */
import type { FurrowError } from "../errors.ts";
import { Exit, exitCodeOf } from "./exit.ts";

const hints: Readonly<Record<string, string>> = {
  ERR_REGISTRY_UNAVAILABLE:
    "start a program that uses furrow, or say where its registrar is with --registry; furrow doctor looks for the reason",
  ERR_REGISTRY_OCCUPIED: "furrow doctor says which process has the address",
  ERR_UNAUTHENTICATED:
    "pass the secret's file with --token-file, or run this as the user that the actors run as",
  ERR_NOT_EXPOSED: "furrow info NAME lists what an actor exposes, and whether to use furrow call or stream",
};

/** The lines for stderr. `mark`: styles the beginning. */
export function reportOf(error: unknown, mark: (text: string) => string): string {
  const message = error instanceof Error ? messageOf(error) : String(error);
  const hint = hintOf(error);
  return `${mark("furrow:")} ${message}\n${hint === undefined ? "" : `  ${hint}\n`}`;
}

/** The message; where furrow itself is at fault, or something unforeseen, with the stack. */
function messageOf(error: Error): string {
  const isForeseen = exitCodeOf(error) !== Exit.failed || "code" in error;
  return isForeseen ? error.message : (error.stack ?? `${error.name}: ${error.message}`);
}

function hintOf(error: unknown): string | undefined {
  const { code } = error as Partial<FurrowError>;
  return code === undefined ? undefined : hints[code];
}
