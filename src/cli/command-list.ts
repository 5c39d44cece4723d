/** The commands, as the help lists them. A command's file is loaded only when it's needed. */
import type { Command } from "./command.ts";

/** The groups of the help, in its order. */
export type CommandGroup = "look" | "use" | "change" | "make" | "also";

export interface CommandEntry {
  readonly group: CommandGroup;
  /** Its line in the help, without a full stop. */
  readonly summary: string;
  load(): Promise<{ readonly command: Command }>;
}

/** By name, in the order of the help. */
export const commandList: Readonly<Record<string, CommandEntry>> = {};
