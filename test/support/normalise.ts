/** What the command line prints, without what differs from run to run. */
import { join } from "node:path";

import { steadyTables } from "./tables.ts";

const repository = join(import.meta.dir, "../..");

/** Each pattern with its name, in this order. */
const volatile: readonly (readonly [RegExp, string])[] = [
  [/[^\s"]*\/furrow-test-\d+\/w\d+\/files(?=\/)/g, "<folder>"],
  [/(?<= )\d+M(?=, actors may)/g, "<size>"],
  [/file:\/\/[^\s"]*\//g, "file://<dir>/"],
  [/(?<=furrow {5})\S+, bun \S+ on \w+/g, "<version>"],
  [/(?<=peers {6})\d+/g, "<number>"],
  [/(?<=limits {5})(?:the defaults|\w+ \d+)/g, "<limits>"],
  [
    /http:\/\/127\.0\.0\.1:\d+\/[\w-]{22}\/\?token=[\w-]{22}/g,
    "http://127.0.0.1:<port>/<path>/?token=<token>",
  ],
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>"],
  [/#[0-9a-f]{8}\b/g, "#<uuid-8>"],
  [/unix:\/\/[^\s"]*\//g, "unix://<dir>/"],
  [/@\d+\.sock/g, "@<pid>.sock"],
  [/[0-9a-f]{12}@/g, "<hash>@"],
  [/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>"],
  [/(?<="pid": ?)\d+/g, "<pid>"],
  [/(?<="host": ?)"[0-9a-f]{16}"/g, '"<host>"'],
  [/(?<="(?:furrow|bun|platform)": ?)"[^"]*"/g, '"<text>"'],
  [/(?<="(?:startedAt|revision|at|time|bytes|maxConnections)": ?)\d+/g, "<number>"],
  [/(?<="(?:\w*Ms|ms|calls|callsPerSecond|cpuSeconds|cpuShare|rssBytes)": ?)[\d.e-]+/g, "<number>"],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>"],
  [/\b\d\d:\d\d:\d\d\b/g, "<clock>"],
  // the machine may be busy
  [/(?<= )\d+ warnings?(?= )/g, "<count> warnings"],
  [/(?<= p99 )\S+/g, "<ms>"],
  [/\b[\d.]+ ms\b/g, "<ms>"],
  [/\b[\d.]+s of processor time/g, "<cpu> of processor time"],
  [/\b[\d.]+[MG] of memory/g, "<size> of memory"],
  [/\b\d+[smhd] ago/g, "<age> ago"],
  [/(?<=pid )\d+/g, "<pid>"],
  [/(?<=^ {2}pid {8})\d+/gm, "<pid>"],
];

/**
 * In JSON, what an actor exposes, which `furrow info` shows in its text and would be most of every document; and its peers, which come
 * and go with the commands.
 */
const lists = /(?<="(?:functions|peers)": ?)\[\s*\{[^\]]*\]/g;

/** Tables keep the form that their columns give them. Escape sequences become readable. */
export function normalise(text: string): string {
  const whole = text.replaceAll(repository, "<repository>").replaceAll(lists, "<list>");
  return steadyTables(whole, (part) =>
    volatile.reduce((steady, [pattern, name]) => steady.replaceAll(pattern, name), part),
  ).replaceAll("\u001b", "<ESC>");
}
