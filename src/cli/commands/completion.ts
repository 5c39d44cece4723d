/** `furrow completion`: what a shell needs to complete command lines. */
import { candidatesFor } from "../candidates.ts";
import type { Command, CommandContext } from "../command.ts";
import { Exit, UsageError } from "../exit.ts";

/**
 * Each asks this command for the candidates, with the words up to the cursor. A candidate that ends in a dot is the name of
 * an actor, to which a function is to be added.
 */
const scripts: Readonly<Record<string, string>> = {
  bash: `_furrow() {
  local word
  COMPREPLY=()
  while IFS=$'\\t' read -r word _; do
    COMPREPLY+=("$(printf '%q' "$word")")
  done < <(furrow completion words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *. ]]; then compopt -o nospace; fi
}
complete -o default -F _furrow furrow
`,
  zsh: `#compdef furrow
_furrow() {
  local word text
  local -a names descriptions actors
  while IFS=$'\\t' read -r word text; do
    if [[ $word == *. ]]; then actors+=("$word"); else names+=("$word"); descriptions+=("\${word}  \${text}"); fi
  done < <(furrow completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#names + $#actors == 0 )); then _files; return; fi
  (( $#actors )) && compadd -S '' -- "\${actors[@]}"
  (( $#names )) && compadd -l -d descriptions -- "\${names[@]}"
}
compdef _furrow furrow
`,
  fish: `complete -c furrow -f -a '(furrow completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
complete -c furrow -F -n '__fish_seen_subcommand_from replace run dev build'
`,
};

export const command: Command = {
  usage: "bash|zsh|fish",
  details: `Prints a script for the shell. It completes commands, options, the names of actors that run, and their functions. In bash,
add to ~/.bashrc: source <(furrow completion bash). In zsh, to ~/.zshrc after compinit: source <(furrow completion zsh). In
fish: furrow completion fish > ~/.config/fish/completions/furrow.fish.`,
  example: "furrow completion bash >> ~/.bashrc",
  args: { min: 1, max: 1 },
  completes: Object.keys(scripts),
  takesRest: true,
  options: {},
  run: completion,
};

async function completion(context: CommandContext): Promise<number> {
  const [shell = ""] = context.args;
  // what the scripts call
  if (shell === "words") {
    const candidates = await candidatesFor(context.rest, context);
    await context.out(candidates.map(({ word, text }) => `${word}\t${text}\n`).join(""));
    return Exit.ok;
  }
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (script === undefined)
    throw new UsageError(
      `there is no completion for ${JSON.stringify(shell)}, only for ${Object.keys(scripts).join(", ")}`,
    );
  await context.out(script);
  return Exit.ok;
}
