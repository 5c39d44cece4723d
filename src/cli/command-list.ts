/** The commands, as the help lists them. A command's file is loaded only when it's needed. */
import type { CommandEntry } from "./command.ts";

/** By name, in the order of the help. */
export const commandList: Readonly<Record<string, CommandEntry>> = {
  ls: { group: "look", summary: "list the actors", load: () => import("./commands/ls.ts") },
  tree: { group: "look", summary: "show who started whom", load: () => import("./commands/tree.ts") },
  info: { group: "look", summary: "show all about an actor", load: () => import("./commands/info.ts") },
  top: { group: "look", summary: "show what the actors do", load: () => import("./commands/top.ts") },
  events: {
    group: "look",
    summary: "print what happens to actors",
    load: () => import("./commands/events.ts"),
  },
  logs: { group: "look", summary: "print the output of actors", load: () => import("./commands/logs.ts") },
  ping: {
    group: "look",
    summary: "check that an actor answers, and how fast",
    load: () => import("./commands/ping.ts"),
  },
  doctor: {
    group: "look",
    summary: "find what is wrong, and what to do about it",
    load: () => import("./commands/doctor.ts"),
  },
  call: { group: "use", summary: "call a function of an actor", load: () => import("./commands/call.ts") },
  stream: { group: "use", summary: "print a stream of an actor", load: () => import("./commands/stream.ts") },
  bench: { group: "use", summary: "measure calls of a function", load: () => import("./commands/bench.ts") },
  wait: {
    group: "use",
    summary: "wait until actors are there, or gone",
    load: () => import("./commands/wait.ts"),
  },
  stop: { group: "change", summary: "end an actor", load: () => import("./commands/stop.ts") },
  drain: {
    group: "change",
    summary: "let an actor finish, and end it",
    load: () => import("./commands/drain.ts"),
  },
  restart: {
    group: "change",
    summary: "start an actor again",
    load: () => import("./commands/restart.ts"),
  },
  replace: {
    group: "change",
    summary: "put another module in an actor's place",
    load: () => import("./commands/replace.ts"),
  },
  dev: {
    group: "make",
    summary: "run a program, and reload the actors whose files change",
    load: () => import("./commands/dev.ts"),
  },
  registrar: {
    group: "make",
    summary: "serve the registry, and do nothing else",
    load: () => import("./commands/registrar.ts"),
  },
  run: {
    group: "make",
    summary: "run a program or an actor, and restart it when it fails",
    load: () => import("./commands/run.ts"),
  },
  build: {
    group: "make",
    summary: "make one executable of a program and its actors",
    load: () => import("./commands/build.ts"),
  },
  completion: {
    group: "also",
    summary: "print a script that completes command lines",
    load: () => import("./commands/completion.ts"),
  },
};
