/** A message's kind tells the compiler its fields. Compile only. */
import type { Runtime } from "../../src/actor/runtime.ts";
import { checkVersion } from "../../src/channel/handshake.ts";
import { Kind, type Message, type MessageOf } from "../../src/wire/messages.ts";
import { holds, type Same } from "./same.ts";

export const wellFormed: readonly Message[] = [
  [Kind.call, 1, "fn", []],
  [Kind.call, 1, "fn", [], true],
  [Kind.result, 1],
  [Kind.idle],
  [Kind.refuse, "target", "text", "uuid"],
  // another version may have other fields
  [Kind.hello, 2, { all: "new" }],
];

export const malformed: readonly Message[] = [
  // @ts-expect-error -- no arguments
  [Kind.call, 1, "fn"],
  // @ts-expect-error -- the id is a text
  [Kind.result, "1"],
  // @ts-expect-error -- one field too many
  [Kind.idle, 1],
  // @ts-expect-error -- an unknown kind
  [200],
];

export function narrows(message: Message): void {
  switch (message[0]) {
    case Kind.lookup:
      holds<Same<(typeof message)[2], string>>();
      holds<Same<(typeof message)[3], boolean>>();
      break;
    case Kind.hello:
      // not before its version is known
      holds<Same<(typeof message)[2], unknown>>();
      checkVersion(message);
      holds<Same<(typeof message)[2], string>>();
      break;
    case Kind.idle:
      // @ts-expect-error -- it has no fields
      holds<Same<(typeof message)[1], never>>();
      break;
    default:
  }
}

declare function log(name: string): void;

export function serves(runtime: Runtime): void {
  runtime.serve(Kind.forget, (_, message) => holds<Same<typeof message, MessageOf<typeof Kind.forget>>>());
  // @ts-expect-error -- the service takes another kind
  runtime.serve(Kind.forget, (_, message: MessageOf<typeof Kind.lookup>) => log(message[2]));
}
