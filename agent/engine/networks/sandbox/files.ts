/**
 * hosts, hostname and resolv.conf of a container. They are mounted into it, so they are written in place: a new file would not
 * be seen. Texts as Docker has them: moby libnetwork/etchosts, internal/resolvconf, sandbox_dns_unix.go.
 */
import { constants, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { readUpTo } from '#lib/base';
import { parseResolvConf } from '../../../network/dns/upstream.ts';
import { badParameter } from '../../http/contract.ts';
import { parseAddress } from '../ipam/blocks.ts';

/** A container may write into its hosts file what it likes. */
const FILE_BYTES_MAX = 1 << 20;

const LOOPBACK4 = '127.0.0.1\tlocalhost\n';
const LOOPBACK6 = [
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
  '',
].join('\n');

export interface SandboxFiles {
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
}

export function filePaths(folder: string): SandboxFiles {
  return { hosts: join(folder, 'hosts'), hostname: join(folder, 'hostname'), resolvConf: join(folder, 'resolv.conf') };
}

/** `host:ip`, or `host=ip`; `host-gateway` is an address of the host that the container reaches. Throws 400. */
export function extraHostLines(extraHosts: readonly string[], hostGateways: readonly string[]): string {
  return extraHosts
    .flatMap((entry) => {
      const at = entry.search(/[:=]/);
      const [name, ip] = [entry.slice(0, at), entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1')];
      if (at < 1 || /[\s#]/.test(entry)) throw badParameter(`bad format for add-host: "${entry}"`);
      if (ip !== 'host-gateway') return [`${ip}\t${name}\n`];
      if (hostGateways.length === 0)
        throw badParameter('unable to derive the IP value for host-gateway: there is no bridge network');
      return hostGateways.map((gateway) => `${gateway}\t${name}\n`);
    })
    .join('');
}

/** `own`: its names with each of its addresses. */
export function hostsText(o: { own: string; extra: string; links: string }): string {
  return `${LOOPBACK4}${LOOPBACK6}${o.extra}${o.own}${o.links}`;
}

export function ownLines(o: { ips: readonly string[]; hostname: string; domainname: string }): string {
  const name =
    o.hostname === '' ? '' : o.domainname === '' ? o.hostname : `${o.hostname}.${o.domainname} ${o.hostname}`;
  return name === '' ? '' : o.ips.map((ip) => `${ip}\t${name}\n`).join('');
}

export interface ResolvWish {
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
}

/** `resolver`: the address of the engine's own, for containers that have it. */
export function resolvConfText(wish: ResolvWish, hostFile: string, resolver: string | undefined): string {
  const host = parseResolvConf(hostFile);
  const asked = wish.dnsSearch.length > 0 ? wish.dnsSearch.filter((s) => s !== '.') : host.searches;
  const options = wish.dnsOptions.length > 0 ? [...wish.dnsOptions] : [...host.options];
  if (resolver !== undefined && !options.some((o) => o.startsWith('ndots:'))) options.push('ndots:0');
  const servers = resolver !== undefined ? [resolver] : wish.dns.length > 0 ? wish.dns : host.nameservers;
  return [
    '# Written by Berth when the container starts.\n',
    ...servers.map((s) => `nameserver ${s}\n`),
    ...(asked.length === 0 ? [] : [`search ${asked.join(' ')}\n`]),
    ...(options.length === 0 ? [] : [`options ${options.join(' ')}\n`]),
  ].join('');
}

/** However it is written: such a server is the container's own business, never the host's. */
export function isLoopback(server: string): boolean {
  const address = parseAddress(server);
  if (address === undefined) return false;
  const { family, value } = address;
  const v4 = family === 4 ? value : value >> 32n === 0xffffn ? value & 0xffffffffn : undefined;
  return v4 === undefined ? value === 1n : v4 >> 24n === 127n;
}

/** In place; a link in the folder is not followed. */
export async function writeInPlace(path: string, text: string): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o644);
  try {
    await file.writeFile(text);
    await file.chmod(0o644);
  } finally {
    await file.close();
  }
}

export async function writeFiles(folder: string, texts: SandboxFiles): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const paths = filePaths(folder);
  await writeInPlace(paths.hosts, texts.hosts);
  await writeInPlace(paths.hostname, texts.hostname);
  await writeInPlace(paths.resolvConf, texts.resolvConf);
}

/** What the container itself wrote there stays. */
export async function changeHosts(folder: string, o: { gone: readonly string[]; added: string }): Promise<void> {
  const { hosts } = filePaths(folder);
  const text = await readBounded(hosts);
  const isGone = (line: string): boolean => o.gone.includes(line.split(/\s/)[0] ?? '');
  const kept = text.split('\n').filter((line) => !isGone(line));
  while (kept.at(-1) === '') kept.pop();
  await writeInPlace(hosts, `${kept.map((line) => `${line}\n`).join('')}${o.added}`);
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return (await readUpTo(file, FILE_BYTES_MAX)).toString();
  } finally {
    await file.close();
  }
}
