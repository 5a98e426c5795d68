/** Texts of a pod's /etc/hosts and /etc/resolv.conf, as kubelet writes them (pkg/kubelet/kubelet_pods.go, network/dns). Pure. */
import type { DeepReadonly, Pod } from '#lib/api';
import type { ResolvConf } from './dns/upstream.ts';
import { parseResolvConf } from './dns/upstream.ts';

const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const SEARCH_CHARACTERS_MAX = 2048;
const HOSTNAME_MAX = 63;

const HEADER = '# Kubernetes-managed hosts file.\n';
const HOST_NETWORK_HEADER = '# Kubernetes-managed hosts file (host network).\n';
const LOOPBACK = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::0\tip6-localnet',
  'fe00::0\tip6-mcastprefix',
  'fe00::1\tip6-allnodes',
  'fe00::2\tip6-allrouters',
  '',
].join('\n');

/** What `hostname` prints in the pod: spec.hostnameOverride, spec.hostname or the pod's name, at most 63 characters. */
export function podHostname(pod: DeepReadonly<Pod>): string {
  const override = pod.spec?.hostnameOverride;
  if (override !== undefined && override !== '') return override;
  const name = pod.spec?.hostname;
  if (name !== undefined && name !== '') return name;
  // A name cut at 63 must not end in a separator.
  return pod.metadata.name.slice(0, HOSTNAME_MAX).replace(/[-.]+$/, '');
}

/** `hostname.subdomain.namespace.svc.DOMAIN`, or undefined without a subdomain. */
export function podFqdn(pod: DeepReadonly<Pod>, clusterDomain: string): string | undefined {
  const subdomain = pod.spec?.subdomain;
  if (subdomain === undefined || subdomain === '') return undefined;
  return `${podHostname(pod)}.${subdomain}.${pod.metadata.namespace ?? 'default'}.svc.${clusterDomain}`;
}

/** What the pod's kernel calls it: with setHostnameAsFQDN the whole name. Source: pkg/kubelet/util (GetNodenameForKernel). */
export function kernelHostname(pod: DeepReadonly<Pod>, clusterDomain: string): string {
  const fqdn = pod.spec?.setHostnameAsFQDN === true ? podFqdn(pod, clusterDomain) : undefined;
  return fqdn ?? podHostname(pod);
}

/** `hostFile`: the node's own /etc/hosts, for pods on the host's network. */
export function hostsText(
  pod: DeepReadonly<Pod>,
  o: { podIps: readonly string[]; clusterDomain: string; hostFile: string },
): string {
  const aliases = aliasText(pod);
  if (pod.spec?.hostNetwork === true) return `${HOST_NETWORK_HEADER}${o.hostFile}${aliases}`;
  const fqdn = podFqdn(pod, o.clusterDomain);
  const names = fqdn === undefined ? podHostname(pod) : `${fqdn}\t${podHostname(pod)}`;
  return `${HEADER}${LOOPBACK}${o.podIps.map((ip) => `${ip}\t${names}\n`).join('')}${aliases}`;
}

function aliasText(pod: DeepReadonly<Pod>): string {
  const aliases = pod.spec?.hostAliases ?? [];
  if (aliases.length === 0) return '';
  const lines = aliases.map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join('\t')}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join('')}`;
}

/** `dnsServerIp`: Network.dnsServerIp. `hostFile`: the node's own /etc/resolv.conf. */
export function resolvConfText(
  pod: DeepReadonly<Pod>,
  o: { dnsServerIp: string; clusterDomain: string; hostFile: string },
): string {
  const merged = withPodConfig(pod, base(pod, o));
  const lines = [
    ...limitSearches(merged.searches),
    ...merged.nameservers.slice(0, NAMESERVERS_MAX).map((server) => `nameserver ${server}`),
    ...(merged.options.length === 0 ? [] : [`options ${merged.options.join(' ')}`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function base(pod: DeepReadonly<Pod>, o: { dnsServerIp: string; clusterDomain: string; hostFile: string }): ResolvConf {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { nameservers: [], searches: [], options: [] };
  const host = parseResolvConf(o.hostFile);
  const isCluster =
    policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && pod.spec?.hostNetwork !== true);
  if (!isCluster) return host;
  const namespace = pod.metadata.namespace ?? 'default';
  const searches = [`${namespace}.svc.${o.clusterDomain}`, `svc.${o.clusterDomain}`, o.clusterDomain];
  return { nameservers: [o.dnsServerIp], searches: [...searches, ...host.searches], options: ['ndots:5'] };
}

/** spec.dnsConfig: nameservers and searches are appended, options replace those of the same name. */
function withPodConfig(pod: DeepReadonly<Pod>, conf: ResolvConf): ResolvConf {
  const extra = pod.spec?.dnsConfig;
  if (extra === undefined) return conf;
  const options = new Map(conf.options.map((option) => [option.replace(/:.*/, ''), option]));
  for (const { name, value } of extra.options ?? [])
    if (name !== undefined) options.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  return {
    nameservers: unique([...conf.nameservers, ...(extra.nameservers ?? [])]),
    searches: unique([...conf.searches, ...(extra.searches ?? [])]),
    options: [...options.values()],
  };
}

function limitSearches(searches: readonly string[]): string[] {
  const kept: string[] = [];
  let characters = 0;
  for (const search of unique(searches).slice(0, SEARCHES_MAX)) {
    characters += search.length + (kept.length === 0 ? 0 : 1);
    if (characters > SEARCH_CHARACTERS_MAX) break;
    kept.push(search);
  }
  return kept.length === 0 ? [] : [`search ${kept.join(' ')}`];
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)];
}
