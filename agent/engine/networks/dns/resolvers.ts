/** The resolvers of all containers on user networks: what they ask is answered of the names of their networks, or outside. */
import { type Ctx, type Random, retry, StatusError } from '#lib/base';
import type { LinuxKernel } from '../../../kernel/linux/open.ts';
import { Answerer } from '../../../network/dns/answerer.ts';
import { Upstream } from '../../../network/dns/upstream.ts';
import { gatewayEndpoint, type SandboxRecord } from '../record.ts';
import { isLoopback } from '../sandbox/files.ts';
import type { NetworkState } from '../state.ts';
import { Resolver } from './resolver.ts';

/** Some four minutes. */
const RESTARTS_MAX = 12;
const RESTART_POLICY = { initialMs: 500, maxMs: 30_000 };

export interface ResolverPorts {
  readonly kernel: Pick<LinuxKernel, 'helper' | 'programs'>;
  readonly state: NetworkState;
  readonly random: Random;
  readonly resolvConf: string;
  /** Calls `restart` when nothing else is done with that container. */
  readonly restart: (containerId: string) => Promise<void>;
}

export class Resolvers {
  readonly #p: ResolverPorts;
  readonly #c: Ctx;
  readonly #open = new Map<string, Resolver>();
  readonly #upstream: Upstream;

  constructor(p: ResolverPorts, c: Ctx) {
    this.#p = p;
    this.#c = c;
    this.#upstream = this.#upstreamOf(undefined);
  }

  has(containerId: string): boolean {
    return this.#open.has(containerId);
  }

  /** Its port is on disk when this resolves. */
  async start(record: SandboxRecord): Promise<void> {
    const { kernel, state } = this.#p;
    const { containerId } = record;
    const zone = {
      domain: undefined,
      lookup: (q: { name: string; type: string }) => state.names.lookup(containerId, q),
    };
    const outside = this.#outside(record);
    const answerer = new Answerer(() => zone, outside, this.#c);
    const onEnd = (): void => this.#ended(containerId);
    const netns = state.namespacePath(containerId);
    const resolver = await Resolver.open(kernel, { netns, port: record.dnsPort, answerer, onEnd }, this.#c);
    this.#open.set(containerId, resolver);
    const now = state.sandboxes.get(containerId);
    if (now !== undefined && now.dnsPort !== resolver.port) await state.saveSandbox({ ...now, dnsPort: resolver.port });
  }

  async restart(containerId: string): Promise<void> {
    const now = this.#p.state.sandboxes.get(containerId);
    if (now?.phase === 'open' && !this.has(containerId)) await this.start(now);
  }

  close(containerId: string): void {
    this.#open.get(containerId)?.close();
    this.#open.delete(containerId);
  }

  closeAll(): void {
    for (const id of [...this.#open.keys()]) this.close(id);
  }

  /** Somebody killed it, or the helper's socket is gone. */
  #ended(containerId: string): void {
    this.#open.delete(containerId);
    if (this.#c.signal.aborted) return;
    this.#c.log.warn({ container: containerId }, 'the resolver in a container has ended: another is begun');
    const o = { attempts: RESTARTS_MAX, policy: RESTART_POLICY, random: this.#p.random };
    retry(() => this.#p.restart(containerId), o, this.#c).catch((err: unknown) => {
      if (!this.#c.signal.aborted) this.#c.log.error({ err, container: containerId }, 'a container has no resolver');
    });
  }

  /** A container that may not speak to the outside gets no answers from there either (CVE-2024-29018). */
  #outside({ containerId, dns }: SandboxRecord): Pick<Upstream, 'ask'> {
    const servers = dns.filter((s) => !isLoopback(s));
    const upstream = servers.length === 0 ? this.#upstream : this.#upstreamOf(servers);
    return {
      ask: (message, transport, c) => {
        const { sandboxes, networks } = this.#p.state;
        const endpoints = sandboxes.get(containerId)?.endpoints ?? [];
        const isOut = gatewayEndpoint(endpoints, networks, 4) ?? gatewayEndpoint(endpoints, networks, 6);
        if (isOut === undefined)
          return Promise.reject(new StatusError('Unavailable', 'this container has no way to the outside'));
        return upstream.ask(message, transport, c);
      },
    };
  }

  #upstreamOf(servers: readonly string[] | undefined): Upstream {
    const { resolvConf, random } = this.#p;
    return new Upstream({ resolvConf, own: [], port: 53, random, servers });
  }
}
