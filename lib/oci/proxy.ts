/**
 * HTTP(S)_PROXY and NO_PROXY, by the rules of Go programs, which users know from the kubelet and containerd. Pure.
 * Source: golang.org/x/net/http/httpproxy (FromEnvironment, useProxy).
 */
import { BlockList, isIP } from 'node:net';
import { StatusError } from '#lib/base';
import { isLoopback } from './registry-host.ts';

/** The proxy's URL for a request's URL; undefined = directly. */
export type ProxyChoice = (url: URL) => string | undefined;

/** Upper-case names win over lower-case ones. Throws Invalid for a proxy that is no URL of http or https. */
export function proxiesOf(environment: Readonly<Record<string, string | undefined>>): ProxyChoice {
  const value = (name: string): string => environment[name] || environment[name.toLowerCase()] || '';
  const https = proxyUrl('HTTPS_PROXY', value('HTTPS_PROXY'));
  const http = proxyUrl('HTTP_PROXY', value('HTTP_PROXY'));
  const isExcepted = exceptions(value('NO_PROXY'));
  return (url) => {
    const proxy = url.protocol === 'https:' ? https : http;
    return proxy === undefined || isLoopback(url.host) || isExcepted(url) ? undefined : proxy;
  };
}

/** A value without a scheme is an http proxy. */
function proxyUrl(name: string, value: string): string | undefined {
  if (value === '') return undefined;
  const url = parse(value);
  if (url === undefined) throw new StatusError('Invalid', `${name}: not the URL of a proxy of http or https`);
  return url.href;
}

function parse(value: string): URL | undefined {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}

/** Each of: `*`, an address, a CIDR, `host` (and what is below it), `.host` (only what is below it), any with `:port`. */
function exceptions(list: string): (url: URL) => boolean {
  const tests: ((name: string, port: string) => boolean)[] = [];
  const addresses = new BlockList();
  for (const entry of list.split(',').map((e) => e.trim().toLowerCase())) {
    if (entry === '') continue;
    if (entry === '*') return () => true;
    const [network = '', bits = ''] = entry.split('/');
    const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(network) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 'ipv6' ? 128 : 32))
      addresses.addSubnet(network, Number(bits), family);
    else tests.push(hostTest(entry));
  }
  return (url) => {
    const name = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    const version = isIP(name);
    if (version !== 0 && addresses.check(name, version === 6 ? 'ipv6' : 'ipv4')) return true;
    return tests.some((t) => t(name, port));
  };
}

function hostTest(entry: string): (name: string, port: string) => boolean {
  const isBareIpv6 = isIP(entry) === 6;
  const match = isBareIpv6 ? null : /^(.*):(\d+)$/.exec(entry);
  const wantedPort = match?.[2];
  const wanted = (match?.[1] ?? entry).replace(/^\[|\]$/g, '').replace(/^\*\./, '.');
  return (name, port) => {
    if (wantedPort !== undefined && wantedPort !== port) return false;
    if (isIP(wanted) !== 0) return name === wanted;
    return wanted.startsWith('.') ? name.endsWith(wanted) : name === wanted || name.endsWith(`.${wanted}`);
  };
}
