/**
 * What extension API servers must know to believe us and our clients: ConfigMap kube-system/extension-apiserver-authentication.
 * Several replicas write it: authorities are added to those that are there, expired ones are left out.
 * Source: pkg/controlplane/controller/clusterauthenticationtrust/cluster_authentication_trust_controller.go.
 */
import { X509Certificate } from 'node:crypto';
import { type ConfigMap, type DeepReadonly, Kinds } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Client } from '#lib/client';

export const FRONT_PROXY_USER = 'front-proxy-client';
const KEY = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };

export interface TrustedAuthorities {
  /** Signs client certificates of users. */
  readonly clientCaPem: string | undefined;
  /** Signs our own certificate toward extension servers. */
  readonly requestHeaderCaPem: string | undefined;
}

export function authenticationData(
  known: DeepReadonly<Record<string, string>>,
  o: TrustedAuthorities,
  nowMs: number,
): Record<string, string> {
  const data: Record<string, string> = { ...known };
  if (o.clientCaPem !== undefined)
    data['client-ca-file'] = joinAuthorities([known['client-ca-file'] ?? '', o.clientCaPem], nowMs);
  if (o.requestHeaderCaPem === undefined) return data;
  const file = 'requestheader-client-ca-file';
  data[file] = joinAuthorities([known[file] ?? '', o.requestHeaderCaPem], nowMs);
  const lists = {
    'requestheader-allowed-names': [FRONT_PROXY_USER],
    'requestheader-username-headers': ['X-Remote-User'],
    'requestheader-uid-headers': ['X-Remote-Uid'],
    'requestheader-group-headers': ['X-Remote-Group'],
    'requestheader-extra-headers-prefix': ['X-Remote-Extra-'],
  };
  for (const [name, values] of Object.entries(lists)) data[name] = JSON.stringify(values);
  return data;
}

export async function publishAuthentication(client: Client, o: TrustedAuthorities, c: Ctx): Promise<void> {
  if (o.clientCaPem === undefined && o.requestHeaderCaPem === undefined) return;
  try {
    const known = await client.get<ConfigMap>(Kinds.configmaps, KEY, c);
    const data = authenticationData(known.data ?? {}, o, c.clock.now());
    const isSame = JSON.stringify(sorted(known.data ?? {})) === JSON.stringify(sorted(data));
    if (!isSame) await client.update<ConfigMap>(Kinds.configmaps, { ...known, data }, c);
  } catch (e) {
    // Another replica was quicker: its authority is there, ours is added to it.
    if (isKind(e, 'Conflict')) return await publishAuthentication(client, o, c);
    if (!isKind(e, 'NotFound')) throw e;
    await create(client, o, c);
  }
}

async function create(client: Client, o: TrustedAuthorities, c: Ctx): Promise<void> {
  const data = authenticationData({}, o, c.clock.now());
  try {
    await client.create<ConfigMap>(Kinds.configmaps, { metadata: { ...KEY }, data }, c);
  } catch (e) {
    if (!isKind(e, 'AlreadyExists')) throw e;
    await publishAuthentication(client, o, c);
  }
}

/** Each authority once, in the order of their first appearance; what is no certificate is left out. */
function joinAuthorities(bundles: readonly string[], nowMs: number): string {
  const kept = new Map<string, string>();
  for (const bundle of bundles) {
    for (const [pem] of bundle.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g)) {
      const certificate = parsed(pem);
      if (certificate !== undefined && Date.parse(certificate.validTo) > nowMs)
        kept.set(certificate.fingerprint256, `${pem}\n`);
    }
  }
  return [...kept.values()].join('');
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    // Somebody wrote something else into the ConfigMap.
    return undefined;
  }
}

function sorted(data: DeepReadonly<Record<string, string>>): [string, string][] {
  return Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1));
}
