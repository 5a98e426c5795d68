/** What stands in a container's files, of what its sandbox is. */
import { hostname } from 'node:os';
import { parseResolvConf } from '../../../network/dns/upstream.ts';
import { hostFile } from '../../../network/host-file.ts';
import { RESOLVER_IP } from '../dns/resolver.ts';
import { PREDEFINED } from '../dns/zone.ts';
import type { EndpointRecord, SandboxRecord } from '../record.ts';
import type { NetworkState } from '../state.ts';
import {
  extraHostLines,
  filePaths,
  hostsText,
  isLoopback,
  ownLines,
  resolvConfText,
  writeFiles,
  writeInPlace,
} from './files.ts';

const HOSTS = '/etc/hosts';
/** Where resolv.conf names only systemd's stub, the servers behind it stand here. */
const BEHIND_STUB = '/run/systemd/resolve/resolv.conf';

interface Source {
  readonly state: NetworkState;
  readonly resolvConf: string;
}

/** Its own names with the addresses of these endpoints. */
export function hostsLinesOf(record: SandboxRecord, endpoints: readonly EndpointRecord[]): string {
  const ips = endpoints.flatMap((e) => [e.ipv4, e.ipv6]).filter((ip) => ip !== '');
  return ownLines({ ips, hostname: record.hostname, domainname: record.domainname });
}

export async function writeSandboxFiles(
  record: SandboxRecord,
  source: Source,
  hasResolver: boolean,
  o: { only?: 'resolvConf' } = {},
): Promise<void> {
  const isHost = record.mode === 'host';
  const host = await hostResolvConf(source.resolvConf, isHost || hasResolver);
  const resolvConf = resolvConfText(record, host, hasResolver ? RESOLVER_IP : undefined);
  if (o.only === 'resolvConf') return writeInPlace(filePaths(record.folder).resolvConf, resolvConf);
  const gateways = hostGateways(source.state);
  const extra = extraHostLines(record.extraHosts, isHost ? ['127.0.0.1'] : gateways);
  const hosts = isHost
    ? `${hostFile(HOSTS)}${extra}`
    : hostsText({ own: hostsLinesOf(record, record.endpoints), extra, links: legacyLinks(record, source.state) });
  const name = record.hostname === '' && isHost ? hostname() : record.hostname;
  const full = record.domainname === '' || isHost ? name : `${name}.${record.domainname}`;
  await writeFiles(record.folder, { hosts, hostname: `${full}\n`, resolvConf });
}

/** The host asks only servers on its own loopback, and nobody says which are behind them: those must be asked from there. */
export async function isOnLoopback(resolvConf: string): Promise<boolean> {
  const { nameservers } = parseResolvConf(hostFile(resolvConf));
  if (nameservers.length === 0 || !nameservers.every(isLoopback)) return false;
  return hostFile(BEHIND_STUB) === '';
}

/** Of the predefined bridge, as Docker's `host-gateway`. */
function hostGateways(state: NetworkState): string[] {
  const bridge = [...state.networks.values()].find((n) => n.name === 'bridge');
  return bridge?.pools.map((p) => p.gateway) ?? [];
}

/** The host's own file; a container of its own namespace cannot ask who listens on the host's loopback. */
async function hostResolvConf(path: string, isAnyServer: boolean): Promise<string> {
  const text = hostFile(path);
  if (isAnyServer) return text;
  const servers = parseResolvConf(text).nameservers;
  if (servers.length > 0 && servers.every(isLoopback)) {
    const behind = hostFile(BEHIND_STUB);
    if (behind !== '') return behind;
  }
  const isForOthers = (line: string): boolean => {
    const [word, server = ''] = line.trim().split(/\s+/);
    return word !== 'nameserver' || !isLoopback(server);
  };
  return text.split('\n').filter(isForOthers).join('\n');
}

/** --link of containers on the predefined bridge, where names are not resolved. */
function legacyLinks(record: SandboxRecord, state: NetworkState): string {
  if (record.mode !== 'bridge') return '';
  return record.links
    .map((link) => {
      const [target = '', alias = target] = link.split(':');
      const name = target.replace(/^\//, '');
      const other = [...state.sandboxes.values()].find(
        (s) => s.phase === 'open' && (s.name === name || (name.length >= 12 && s.containerId.startsWith(name))),
      );
      const ip = other?.endpoints.find((e) => PREDEFINED.includes(e.networkName))?.ipv4 ?? '';
      if (other === undefined || ip === '') return '';
      return `${ip}\t${[...new Set([alias, other.containerId.slice(0, 12), other.name])].join(' ')}\n`;
    })
    .join('');
}
