/** The help: of all commands, and of one. Pure. */
import { commonOptions } from "./arguments.ts";
import type { Command, CommandGroup, CommandOptions, Terminal } from "./command.ts";
import { commandList } from "./command-list.ts";

const groups: Readonly<Record<CommandGroup, string>> = {
  look: "Look",
  use: "Use",
  change: "Change",
  make: "Make",
  also: "Also",
};

type Style = Terminal["style"];

/** What `furrow --help` prints. */
export function generalHelp(style: Style): string {
  const names = Object.keys(commandList);
  const width = Math.max(...names.map((name) => name.length));
  const sections = (Object.keys(groups) as CommandGroup[]).map((group) => {
    const lines = names
      .filter((name) => commandList[name]!.group === group)
      .map((name) => `  ${name.padEnd(width)}  ${commandList[name]!.summary}`);
    return lines.length === 0 ? "" : section(style, groups[group], lines);
  });
  return [
    "furrow looks at the actors of this machine, calls them and steers them.\n",
    section(style, "Usage", ["  furrow [OPTION]... COMMAND [ARGUMENT]..."]),
    ...sections.filter((text) => text !== ""),
    section(style, "Options of every command", optionLines(commonOptions)),
    section(style, "Exit codes", exitLines),
    "furrow COMMAND --help shows a command's own options, with an example.\n",
  ].join("\n");
}

/** What `furrow COMMAND --help` prints. */
export function commandHelp(name: string, command: Command, style: Style): string {
  const summary = commandList[name]?.summary ?? "";
  const usage = command.usage === "" ? "" : ` ${command.usage}`;
  const options = Object.keys(command.options).length === 0 ? "" : " [OPTION]...";
  return [
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.\n`,
    section(style, "Usage", [`  furrow ${name}${usage}${options}`]),
    ...(command.details === undefined ? [] : [`${command.details}\n`]),
    ...(options === "" ? [] : [section(style, "Options", optionLines(command.options))]),
    section(style, "Options of every command", optionLines(commonOptions)),
    section(style, "Example", [`  ${command.example}`]),
  ].join("\n");
}

function section(style: Style, title: string, lines: readonly string[]): string {
  return `${style("bold", title)}\n${lines.join("\n")}\n`;
}

const exitLines: readonly string[] = [
  "  0  done",
  "  1  the call or action failed; the error is on stderr",
  "  2  the command line makes no sense",
  "  3  no registrar",
  "  4  no such actor",
  "  5  timed out",
  "  130  Ctrl-C",
];

function optionLines(options: CommandOptions): string[] {
  const forms = Object.entries(options).map(([long, { short, value }]) => {
    const name = `${short === undefined ? "    " : `-${short}, `}--${long}`;
    return value === undefined ? name : `${name} ${value}`;
  });
  const width = Math.max(...forms.map((form) => form.length));
  return Object.values(options).map(({ summary, choices }, at) => {
    const which = choices === undefined ? "" : ` (${choices.join(", ")})`;
    return `  ${forms[at]!.padEnd(width)}  ${summary}${which}`;
  });
}
