/** The commands for the shell. */
import type { Form, Rows } from "../../support/matrix.ts";

function script(shell: string): Form {
  const cell = { words: ["completion", shell] };
  return { pipe: cell, terminal: cell, json: { because: "the shell reads it" } };
}

const isPrinted = { because: "it prints a text that is in the command" };

export const also: Rows = {
  completion: {
    forms: {
      bash: script("bash"),
      zsh: script("zsh"),
      fish: script("fish"),
    },
    exits: {
      failed: isPrinted,
      usage: { words: ["completion", "csh"] },
      noRegistrar: { because: "without one, it completes no names" },
      noActor: isPrinted,
      timeout: { because: "it completes what it knows after a second" },
      interrupted: isPrinted,
    },
  },
};
