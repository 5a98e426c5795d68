/**
 * What names mean to one container: those of its networks. Pure. In the order of moby libnetwork/sandbox.go (ResolveName) and
 * service_common_unix.go: links first, then names of each of its networks; `name.network` names one network. Several addresses of
 * one name (a service of Compose, an alias) are given in turn. What is not found here is asked outside.
 */
import type { ZoneAnswer } from '../../../network/dns/zone.ts';
import { type Family, formatAddress, parseAddress } from '../ipam/blocks.ts';
import type { EndpointRecord, NetworkRecord, SandboxRecord } from '../record.ts';

type Answer = ZoneAnswer['answers'][number];

const TTL_SECONDS = 600;
const SHORT_ID = 12;
const EMPTY: ZoneAnswer = { code: 'NOERROR', answers: [], additionals: [] };
const MISSING: ZoneAnswer = { code: 'NXDOMAIN', answers: [], additionals: [] };

interface Place {
  readonly sandbox: SandboxRecord;
  readonly endpoint: EndpointRecord;
}

/** Names of one network: those of user networks, the predefined have none. */
export function dnsNamesOf(s: SandboxRecord, e: Pick<EndpointRecord, 'networkName' | 'aliases'>): readonly string[] {
  if (PREDEFINED.includes(e.networkName)) return [];
  return [...new Set([s.name, ...e.aliases, s.containerId.slice(0, SHORT_ID), s.hostname].filter((n) => n !== ''))];
}

export const PREDEFINED: readonly string[] = ['bridge', 'host', 'none'];

/** All names of all networks, made anew when a container comes or goes. */
export class NameTable {
  readonly #byNetwork = new Map<string, Map<string, Place[]>>();
  readonly #byAddress = new Map<string, Place>();
  readonly #sandboxes: ReadonlyMap<string, SandboxRecord>;
  readonly #networks: ReadonlyMap<string, NetworkRecord>;
  #turn = 0;

  constructor(sandboxes: ReadonlyMap<string, SandboxRecord>, networks: ReadonlyMap<string, NetworkRecord>) {
    this.#sandboxes = sandboxes;
    this.#networks = networks;
    for (const sandbox of sandboxes.values()) {
      if (sandbox.phase !== 'open') continue;
      for (const endpoint of sandbox.endpoints) this.#add({ sandbox, endpoint });
    }
  }

  #add(place: Place): void {
    const { sandbox, endpoint } = place;
    const names = this.#byNetwork.get(endpoint.networkId) ?? new Map<string, Place[]>();
    this.#byNetwork.set(endpoint.networkId, names);
    for (const name of dnsNamesOf(sandbox, endpoint)) {
      const key = name.toLowerCase();
      names.set(key, [...(names.get(key) ?? []), place]);
    }
    if (PREDEFINED.includes(endpoint.networkName)) return;
    for (const ip of [endpoint.ipv4, endpoint.ipv6])
      if (ip !== '') this.#byAddress.set(`${endpoint.networkId} ${ip}`, place);
  }

  /** undefined: ask outside. */
  lookup(containerId: string, question: { name: string; type: string }): ZoneAnswer | undefined {
    const asker = this.#sandboxes.get(containerId);
    if (asker === undefined) return undefined;
    const name = question.name.toLowerCase().replace(/\.$/, '');
    if (name.endsWith('.in-addr.arpa') || name.endsWith('.ip6.arpa')) return this.#reverse(asker, question, name);
    const places = this.#find(asker, name);
    if (places.length === 0) return undefined;
    const family = question.type === 'A' ? 4 : question.type === 'AAAA' ? 6 : undefined;
    if (family === undefined) return EMPTY;
    const ips = [...new Set(places.map(({ endpoint }) => ipOf(endpoint, family)).filter((ip) => ip !== ''))];
    this.#turn = (this.#turn + 1) % (1 << 20);
    const from = ips.length === 0 ? 0 : this.#turn % ips.length;
    const answers = [...ips.slice(from), ...ips.slice(0, from)].map((data): Answer => {
      const { name: asked } = question;
      return family === 4
        ? { name: asked, type: 'A', ttl: TTL_SECONDS, class: 'IN', data }
        : { name: asked, type: 'AAAA', ttl: TTL_SECONDS, class: 'IN', data };
    });
    return { ...EMPTY, answers };
  }

  #find(asker: SandboxRecord, name: string): readonly Place[] {
    for (const endpoint of asker.endpoints) {
      const names = this.#byNetwork.get(endpoint.networkId);
      const link = endpoint.links.map((l) => l.split(':')).find(([, alias]) => alias?.toLowerCase() === name);
      const places = names?.get(link?.[0]?.toLowerCase() ?? name) ?? [];
      if (places.length > 0) return places;
    }
    const dot = name.lastIndexOf('.');
    if (dot < 1) return [];
    // `web.backend`: of that network only.
    const network = asker.endpoints.find((e) => e.networkName.toLowerCase() === name.slice(dot + 1));
    return (network && this.#byNetwork.get(network.networkId)?.get(name.slice(0, dot))) ?? [];
  }

  #reverse(asker: SandboxRecord, question: { name: string; type: string }, name: string): ZoneAnswer | undefined {
    const ip = addressOfReverse(name);
    if (ip === undefined) return undefined;
    for (const { networkId, networkName } of asker.endpoints) {
      const place = this.#byAddress.get(`${networkId} ${ip}`);
      if (place === undefined) continue;
      if (question.type !== 'PTR') return EMPTY;
      const data = `${place.sandbox.name}.${networkName}`;
      return { ...EMPTY, answers: [{ name: question.name, type: 'PTR', ttl: TTL_SECONDS, class: 'IN', data }] };
    }
    // Addresses of our own networks mean nothing to a server outside.
    return asker.endpoints.some((e) => this.#isOf(e.networkId, ip)) ? MISSING : undefined;
  }

  #isOf(networkId: string, ip: string): boolean {
    const address = parseAddress(ip);
    return (this.#networks.get(networkId)?.pools ?? []).some((p) => {
      const [base = '', length = ''] = p.subnet.split('/');
      const first = parseAddress(base);
      const shift = BigInt((p.family === 4 ? 32 : 128) - Number(length));
      return address?.family === p.family && first !== undefined && address.value >> shift === first.value >> shift;
    });
  }
}

function ipOf(e: EndpointRecord, family: Family): string {
  return family === 4 ? e.ipv4 : e.ipv6;
}

/** `4.3.2.1.in-addr.arpa` is 1.2.3.4; RFC 3596 2.5 for ip6.arpa. Printed as records have it. */
function addressOfReverse(name: string): string | undefined {
  const parts = name.split('.').slice(0, -2).reverse();
  if (name.endsWith('.in-addr.arpa')) {
    const text = parts.join('.');
    return parseAddress(text) === undefined ? undefined : text;
  }
  if (parts.length !== 32 || !parts.every((p) => /^[0-9a-f]$/.test(p))) return undefined;
  const address = parseAddress(parts.join('').replace(/(.{4})(?=.)/g, '$1:'));
  return address && formatAddress(address);
}
