/** Compiles, or does not: what lookups return for which options, and what options take. Nothing here is ever run. */
import {
  type Actor,
  type ActorEvent,
  type Address,
  type AddressInput,
  Arbiter,
  currentActor,
  explainLookup,
  findActor,
  forEachActor,
  type FurrowError,
  getPeerByName,
  getRegistry,
  type LocalPortal,
  type LookupReport,
  openRootActor,
  type ParsedAddress,
  parseAddress,
  type Peer,
  type Portal,
  type PortalGroup,
  queryActor,
  Registrar,
  type RegistrarApi,
  type Registration,
  type RootOptions,
  TimeoutError,
  waitForActor,
  watchActors,
} from "../../src/index.ts";
import { holds, type Same } from "./same.ts";

interface Quotes {
  getQuote(symbol: string): number;
}

export async function watches(): Promise<void> {
  const events = watchActors("quotes*", { registryAddr: "unix:///run/x.sock", signal: AbortSignal.abort() });
  holds<Same<typeof events, AsyncIterableIterator<ActorEvent>>>();
  for await (const event of events) {
    holds<Same<typeof event.revision, number>>();
    if (event.type === "sync") holds<Same<typeof event.actors, Registration[]>>();
    else {
      holds<Same<typeof event.type, "up" | "changed" | "down">>();
      holds<Same<typeof event.actor, Registration>>();
    }
    // @ts-expect-error -- a sync has all actors, not one
    void event.actor;
  }
  const done = forEachActor<Quotes>("quotes", async (quotes, signal) => {
    holds<Same<typeof quotes, Portal<Quotes>>>();
    holds<Same<typeof signal, AbortSignal>>();
    await quotes.run.getQuote("btc");
    // @ts-expect-error -- it has no such function
    await quotes.run.getQuotes();
  });
  holds<Same<typeof done, Promise<void>>>();
}

export async function lookups(): Promise<void> {
  const maybe = await findActor<Quotes>("quotes");
  holds<Same<typeof maybe, Portal<Quotes> | null>>();
  // @ts-expect-error -- it may be null
  void maybe.run.getQuote("btc");
  void maybe?.run.getQuote("btc");

  const sure = await findActor<Quotes>("quotes", { raiseOnNone: true });
  holds<Same<typeof sure, Portal<Quotes>>>();
  const all = await findActor<Quotes>("quotes", { onlyFirst: false });
  holds<Same<typeof all, PortalGroup<Quotes>>>();
  const allOrNone = await findActor<Quotes>("quotes", { onlyFirst: false, raiseOnNone: true });
  holds<Same<typeof allOrNone, PortalGroup<Quotes>>>();
  const spelled = await findActor<Quotes>("quotes", { onlyFirst: true, raiseOnNone: false });
  holds<Same<typeof spelled, Portal<Quotes> | null>>();
  const untyped = await findActor("quotes", { raiseOnNone: true });
  holds<Same<typeof untyped, Portal>>();

  const waited = await waitForActor<Quotes>("quotes", {
    timeout: 100,
    registryAddr: "/ip4/127.0.0.1/tcp/1616",
  });
  holds<Same<typeof waited, Portal<Quotes>>>();
  await using query = await queryActor("quotes");
  holds<Same<typeof query.addr, Address | null>>();
  holds<Same<typeof query.registry, Portal<RegistrarApi> | LocalPortal<RegistrarApi> | null>>();
  const registry = await getRegistry();
  const found = await registry.run.findActor("quotes");
  holds<Same<NonNullable<typeof found>["revision"], number>>();
  const report = await explainLookup("quotes", { enableTransports: ["unix"], timeout: 100 });
  holds<Same<typeof report, LookupReport>>();
  holds<Same<FurrowError["report"], LookupReport | undefined>>();
  const dialled: Address | undefined = report.candidates[0]?.dials[0]?.addr;
  void dialled;
  // @ts-expect-error -- it is a record
  report.candidates.push();
  const peers = getPeerByName("quotes");
  holds<Same<typeof peers, Peer[] | null>>();

  void findActor("quotes", { pick: "least-busy", where: { zone: "eu", size: 2 }, needs: ["getQuote"] });
  // @ts-expect-error -- an unknown choice
  void findActor("quotes", { pick: "best" });
  // @ts-expect-error -- metadata has no objects in it
  void findActor("quotes", { where: { zone: {} } });
  // @ts-expect-error -- a list of names
  void findActor("quotes", { needs: "getQuote" });
  const registration = (await registry.run.listActors())[0]!;
  holds<Same<typeof registration, Registration>>();
  holds<Same<typeof registration.state, "ready" | "draining">>();
  holds<Same<(typeof registration.functions)[number]["verb"], "run" | "stream" | "open">>();
  // @ts-expect-error -- a name is text
  void findActor(5);
  // @ts-expect-error -- an unknown option
  void findActor("quotes", { first: true });
  // @ts-expect-error -- registryAddr is an option of waitForActor and queryActor
  void findActor("quotes", { registryAddr: "tcp://127.0.0.1:1" });
  // @ts-expect-error -- and registryAddrs is not
  void waitForActor("quotes", { registryAddrs: [] });
}

export function addresses(): void {
  const good: AddressInput[] = ["tcp://a:1", "unix:///a.sock", "/ip4/127.0.0.1/tcp/1"];
  void good;
  // @ts-expect-error -- no scheme
  const bad: AddressInput = "localhost:1616";
  void bad;
  // @ts-expect-error -- a multiaddr is input only
  const output: Address = "/ip4/127.0.0.1/tcp/1";
  void output;
  const parsed = parseAddress("tcp://a:1");
  holds<Same<typeof parsed, ParsedAddress>>();
  // @ts-expect-error -- only tcp has a port
  void parsed.port;
  if (parsed.transport === "tcp") void parsed.port;
  else void parsed.path;
}

export async function actors(): Promise<void> {
  const all: RootOptions = {
    name: "root",
    version: "1.0",
    metadata: { zone: "eu", size: 2, canary: false },
    registryAddrs: ["tcp://127.0.0.1:1616"],
    ensureRegistry: true,
    enableTransports: ["unix"],
    bindAddrs: ["/unix/run/x.sock"],
    enableModules: ["./a.ts", new URL("file:///a.ts")],
    limits: { maxConnections: 5 },
    handleSignals: false,
    signal: AbortSignal.timeout(1),
  };
  await using actor = await openRootActor(all);
  holds<Same<typeof actor, Actor>>();
  void actor.setMetadata({ zone: "us" });
  // @ts-expect-error -- metadata has no lists in it
  void actor.setMetadata({ zones: ["us"] });
  // @ts-expect-error -- an unknown limit
  void openRootActor({ limits: { maxEverything: 5 } });
  // @ts-expect-error -- an unknown transport
  void openRootActor({ enableTransports: ["quic"] });
  // @ts-expect-error -- an actor's addresses are read
  actor.addrs.push("tcp://a:1");
  // @ts-expect-error -- and so are its numbers
  actor.stats().peers = 5;
  const current = currentActor();
  if (current instanceof Registrar) holds<Same<typeof current.isRegistrar, true>>();
  if (current instanceof Arbiter) void current.name;
  // @ts-expect-error -- a registrar is what an actor becomes, nobody makes one
  void new Registrar();
}

export function errors(error: FurrowError): string {
  if (error instanceof TimeoutError) {
    const { stage } = error;
    holds<Same<typeof stage, "wait" | "lookup" | "dial" | "handshake" | "call" | "stop">>();
  }
  return error.code;
}
