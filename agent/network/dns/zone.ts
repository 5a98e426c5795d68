/**
 * The cluster's DNS zone, answered from the services and endpoint slices in memory: pure.
 *
 * Names (kubernetes/dns docs/specification.md 1.1.0), below the zone D:
 *   SVC.NS.svc.D            A: cluster IP; headless: every ready endpoint, NXDOMAIN without one; ExternalName: CNAME
 *   HOST.SVC.NS.svc.D       A: the endpoint with that hostname, or its dashed address
 *   _PORT._PROTO.SVC.NS.svc.D  SRV: one; headless: one for each endpoint
 *   A-B-C-D.NS.pod.D        A: that address
 *   reverse names           PTR for cluster IPs and endpoints
 *   dns-version.D           TXT
 * A name that exists but not with the asked type is NOERROR without records (musl takes NXDOMAIN for AAAA as "no such
 * host"). Comparison ignores case; answers repeat the question's spelling.
 */
import type { Answer, SrvAnswer } from 'dns-packet';
import type { DeepReadonly, EndpointSlice, Service } from '#lib/api';
import type { Cidr } from '../addresses.ts';
import { contains, isIpv4, parseCidr, parseIpv4 } from '../addresses.ts';
import type { ServiceTable } from '../network.ts';
import { groupSlices } from '../services/table.ts';

/** Short, because endpoints change: CoreDNS' default. */
export const TTL_SECONDS = 5;

export interface ZoneAnswer {
  readonly code: 'NOERROR' | 'NXDOMAIN';
  readonly answers: readonly Answer[];
  readonly additionals: readonly Answer[];
  /** The last answer is a CNAME to a name whose records the server has to find. */
  readonly follow?: string | undefined;
}

interface Entry {
  readonly service: DeepReadonly<Service>;
  readonly endpoints: readonly ZoneEndpoint[];
}

interface ZoneEndpoint {
  readonly ip: string;
  readonly host: string;
  readonly ports: readonly { name: string; protocol: string; port: number }[];
}

const EMPTY: ZoneAnswer = { code: 'NOERROR', answers: [], additionals: [] };
const MISSING: ZoneAnswer = { code: 'NXDOMAIN', answers: [], additionals: [] };
/** What a set of DNS names can be asked for without being wrong about a port. */
type Ask = { readonly name: string; readonly type: string };

export class Zone {
  readonly domain: string;
  readonly #blocks: readonly Cidr[];
  readonly #services = new Map<
    string,
    { service: DeepReadonly<Service>; slices: readonly DeepReadonly<EndpointSlice>[] }
  >();
  readonly #namespaces = new Set<string>();
  /** Made at the first reverse question. */
  #reverse: Map<string, string[]> | undefined;

  constructor(o: { domain: string; serviceCidr: string; clusterCidr: string }, table: ServiceTable) {
    this.domain = o.domain.toLowerCase();
    this.#blocks = [parseCidr(o.serviceCidr), parseCidr(o.clusterCidr)];
    const slices = groupSlices(table.slices);
    for (const service of table.services) {
      const namespace = service.metadata.namespace ?? '';
      const key = `${namespace}/${service.metadata.name}`;
      this.#services.set(key, { service, slices: slices.get(key) ?? [] });
      this.#namespaces.add(namespace);
    }
  }

  /** undefined: not our name, ask elsewhere. */
  lookup(question: { name: string; type: string }): ZoneAnswer | undefined {
    const name = question.name.toLowerCase().replace(/\.$/, '');
    if (name.endsWith('.in-addr.arpa')) return this.#reverseLookup(question, name);
    if (name === this.domain) return EMPTY;
    if (!name.endsWith(`.${this.domain}`)) return undefined;
    const labels = name.slice(0, -this.domain.length - 1).split('.');
    const kind = labels.pop();
    if (kind === 'svc') return this.#inServices(question, labels);
    if (kind === 'pod') return this.#inPods(question, labels);
    if (kind === 'dns-version' && labels.length === 0)
      return question.type === 'TXT' ? found([{ ...base(question.name), type: 'TXT', data: '1.1.0' }]) : EMPTY;
    return MISSING;
  }

  #inServices(ask: Ask, labels: string[]): ZoneAnswer {
    const namespace = labels.pop();
    if (namespace === undefined) return EMPTY;
    const name = labels.pop();
    if (name === undefined) return this.#namespaces.has(namespace) ? EMPTY : MISSING;
    const entry = this.#entry(namespace, name);
    if (entry === undefined) return MISSING;
    const spec = entry.service.spec;
    if (spec?.type === 'ExternalName') return labels.length === 0 ? externalName(ask, spec.externalName) : MISSING;
    const isHeadless = spec?.clusterIP === 'None';
    if (isHeadless && entry.endpoints.length === 0) return MISSING;
    const full = `${name}.${namespace}.svc.${this.domain}`;
    if (labels.length === 0) {
      if (ask.type === 'SRV') return services(ask, entry, full, undefined);
      return addresses(ask, isHeadless ? entry.endpoints.map((e) => e.ip) : clusterIps(entry.service));
    }
    const [first = '', second = ''] = labels;
    if (labels.length === 2 && first.startsWith('_') && second.startsWith('_'))
      return named(ask, entry, full, { port: first.slice(1), protocol: second.slice(1) });
    if (labels.length === 1 && first.startsWith('_')) return hasProtocol(entry, first.slice(1)) ? EMPTY : MISSING;
    if (labels.length !== 1) return MISSING;
    const hosts = entry.endpoints.filter((e) => e.host === first);
    return hosts.length === 0
      ? MISSING
      : addresses(
          ask,
          hosts.map((e) => e.ip),
        );
  }

  #inPods(ask: Ask, labels: string[]): ZoneAnswer {
    const namespace = labels.pop();
    if (namespace === undefined || labels.length === 0) return EMPTY;
    const ip = labels[0]?.replaceAll('-', '.') ?? '';
    if (labels.length !== 1 || !isIpv4(ip) || labels[0]?.includes('.')) return MISSING;
    return addresses(ask, [ip]);
  }

  #reverseLookup(ask: Ask, name: string): ZoneAnswer | undefined {
    const ip = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
    const value = parseIpv4(ip);
    if (value === undefined || !this.#blocks.some((block) => contains(block, value))) return undefined;
    this.#reverse ??= this.#buildReverse();
    const names = this.#reverse.get(ip);
    if (names === undefined) return MISSING;
    if (ask.type !== 'PTR') return EMPTY;
    return found(names.map((data) => ({ ...base(ask.name), type: 'PTR', data })));
  }

  #buildReverse(): Map<string, string[]> {
    const out = new Map<string, string[]>();
    const add = (ip: string, name: string): void => {
      const names = out.get(ip);
      if (!names) out.set(ip, [name]);
      else if (!names.includes(name)) names.push(name);
    };
    for (const key of this.#services.keys()) {
      const [namespace = '', name = ''] = key.split('/');
      const entry = this.#entry(namespace, name);
      if (entry === undefined || entry.service.spec?.type === 'ExternalName') continue;
      const full = `${name}.${namespace}.svc.${this.domain}`;
      for (const ip of clusterIps(entry.service)) add(ip, full);
      for (const endpoint of entry.endpoints) add(endpoint.ip, `${endpoint.host}.${full}`);
    }
    return out;
  }

  #entry(namespace: string, name: string): Entry | undefined {
    const known = this.#services.get(`${namespace}/${name}`);
    return known && { service: known.service, endpoints: endpointsOf(known.slices) };
  }
}

function endpointsOf(slices: readonly DeepReadonly<EndpointSlice>[]): ZoneEndpoint[] {
  const byIp = new Map<
    string,
    { ip: string; host: string; ports: { name: string; protocol: string; port: number }[] }
  >();
  for (const slice of slices) {
    const ports = (slice.ports ?? []).flatMap((p) =>
      p.port === undefined ? [] : [{ name: p.name ?? '', protocol: (p.protocol ?? 'TCP').toLowerCase(), port: p.port }],
    );
    for (const endpoint of slice.endpoints ?? []) {
      const ip = endpoint.addresses[0];
      if (ip === undefined || !isIpv4(ip) || endpoint.conditions?.ready === false) continue;
      const known = byIp.get(ip);
      if (known) known.ports.push(...ports);
      else byIp.set(ip, { ip, host: endpoint.hostname ?? ip.replaceAll('.', '-'), ports: [...ports] });
    }
  }
  return [...byIp.values()];
}

function externalName(ask: Ask, target: string | undefined): ZoneAnswer {
  if (target === undefined || target === '') return MISSING;
  if (ask.type !== 'A' && ask.type !== 'AAAA' && ask.type !== 'CNAME') return EMPTY;
  const data = target.replace(/\.$/, '');
  const answer = found([{ ...base(ask.name), type: 'CNAME', data }]);
  return ask.type === 'CNAME' ? answer : { ...answer, follow: data };
}

function named(ask: Ask, entry: Entry, full: string, wanted: { port: string; protocol: string }): ZoneAnswer {
  const ports = (entry.service.spec?.ports ?? []).filter((p) => isWanted(p, wanted));
  if (ports.length === 0) return MISSING;
  if (ask.type === 'SRV') return services(ask, entry, full, wanted);
  if (entry.service.spec?.clusterIP === 'None')
    return addresses(
      ask,
      entry.endpoints.map((e) => e.ip),
    );
  return addresses(ask, clusterIps(entry.service));
}

function services(
  ask: Ask,
  entry: Entry,
  full: string,
  wanted: { port: string; protocol: string } | undefined,
): ZoneAnswer {
  const answers: Answer[] = [];
  const additionals: Answer[] = [];
  const srv = (target: string, port: number): SrvAnswer => ({
    ...base(ask.name),
    type: 'SRV',
    data: { priority: 0, weight: 100, port, target },
  });
  const fits = (p: { name?: string | undefined; protocol?: string | undefined }): boolean =>
    p.name !== undefined && p.name !== '' && (wanted === undefined || isWanted(p, wanted));
  if (entry.service.spec?.clusterIP !== 'None') {
    for (const port of entry.service.spec?.ports ?? []) if (fits(port)) answers.push(srv(full, port.port));
    if (answers.length > 0)
      for (const data of clusterIps(entry.service)) additionals.push({ ...base(full), type: 'A', data });
    return { code: 'NOERROR', answers, additionals };
  }
  for (const endpoint of entry.endpoints) {
    const target = `${endpoint.host}.${full}`;
    const ports = endpoint.ports.filter(fits);
    for (const port of ports) answers.push(srv(target, port.port));
    if (ports.length > 0) additionals.push({ ...base(target), type: 'A', data: endpoint.ip });
  }
  return { code: 'NOERROR', answers, additionals };
}

function isWanted(
  p: { name?: string | undefined; protocol?: string | undefined },
  wanted: { port: string; protocol: string },
): boolean {
  return (p.name ?? '').toLowerCase() === wanted.port && (p.protocol ?? 'TCP').toLowerCase() === wanted.protocol;
}

function hasProtocol(entry: Entry, protocol: string): boolean {
  return (entry.service.spec?.ports ?? []).some((p) => (p.protocol ?? 'TCP').toLowerCase() === protocol);
}

function clusterIps(service: DeepReadonly<Service>): string[] {
  const spec = service.spec;
  return (spec?.clusterIPs ?? (spec?.clusterIP === undefined ? [] : [spec.clusterIP])).filter(isIpv4);
}

function addresses(ask: Ask, ips: readonly string[]): ZoneAnswer {
  if (ask.type !== 'A' && ask.type !== 'ANY') return EMPTY;
  return found(ips.map((data) => ({ ...base(ask.name), type: 'A', data })));
}

function found(answers: readonly Answer[]): ZoneAnswer {
  return { code: 'NOERROR', answers, additionals: [] };
}

function base(name: string): { name: string; ttl: number; class: 'IN' } {
  return { name, ttl: TTL_SECONDS, class: 'IN' };
}
