/**
 * Where the images of a registry may be asked for: the registry itself or a mirror, with how it is spoken to. Pure.
 * Source: containerd docs/hosts.md; loopback registries by plain http as github.com/distribution/reference's users expect.
 */
import { isIP } from 'node:net';

/** `resolve`: says what a tag stands for; `pull`: gives what a digest names; `push`: takes. */
export type HostCapability = 'pull' | 'resolve' | 'push';

export interface TlsSettings {
  /** PEM bundles trusted in addition to Node's own. */
  readonly ca: readonly string[];
  /** PEM; shown to servers that ask for a certificate. */
  readonly client: readonly { readonly cert: string; readonly key: string }[];
  readonly skipVerify: boolean;
}

export interface RegistryHost {
  /** Root of its API without a trailing slash: `https://mirror.example:8443/v2`. */
  readonly url: string;
  readonly capabilities: ReadonlySet<HostCapability>;
  readonly tls?: TlsSettings | undefined;
  /** Sent with each request to its origin, and nowhere else. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Longest time to connect. */
  readonly dialTimeoutMs?: number | undefined;
}

export const ALL_CAPABILITIES: ReadonlySet<HostCapability> = new Set(['pull', 'resolve', 'push']);
const DOCKER_HUB = 'registry-1.docker.io';

/** The registry itself, by its name in references. A loopback one is spoken to by plain http unless it has TLS settings. */
export function registryItself(registry: string, o: Omit<RegistryHost, 'url'>): RegistryHost {
  const isPlain = isLoopback(registry) && o.tls === undefined;
  const host = registry === 'docker.io' ? DOCKER_HUB : registry;
  return { ...o, url: `${isPlain ? 'http' : 'https'}://${host}/v2` };
}

/** What a mirror must be told by `ns`: whose images are wanted. Source: containerd core/remotes/docker/registry.go. */
export function isMirrorOf(registry: string, host: RegistryHost): boolean {
  const at = new URL(host.url).host;
  return (
    at !== new URL(`https://${registry}`).host && at !== registry && !(registry === 'docker.io' && at === DOCKER_HUB)
  );
}

/** localhost, 127.0.0.0/8 and [::1], with or without a port. */
export function isLoopback(host: string): boolean {
  const name = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}
