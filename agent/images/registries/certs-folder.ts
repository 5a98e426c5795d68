/**
 * The settings of a node's registries in containerd's layout, read anew for each pull, so that a change needs no restart:
 *
 *     FOLDER/registry.example/hosts.toml
 *     FOLDER/registry.example_5000_/hosts.toml     with a port; `registry.example:5000/` as well
 *     FOLDER/_default/hosts.toml                   for registries that have none of their own
 *     FOLDER/registry.example/*.crt                without a hosts.toml, Docker's form: authorities,
 *     FOLDER/registry.example/*.{cert,key}         and pairs for the client
 *
 * A mistake stops the pulls from its registry alone, with an error that names the file and the key.
 * Source: containerd docs/hosts.md; core/remotes/docker/config/hosts.go.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { type Logger, messageOf, StatusError } from '#lib/base';
import { ALL_CAPABILITIES, isLoopback, type RegistryHost, registryItself, type TlsSettings } from '#lib/oci';
import { type HostSettings, parseHostsToml } from './hosts-toml.ts';

/** Where a registry's images may be asked for, the registry itself last. */
export interface RegistryHosts {
  /** Throws Invalid when its settings are wrong. */
  hostsOf(registry: string): Promise<readonly RegistryHost[]>;
}

const FILE_BYTES_MAX = 1 << 20;
const DEFAULT_FOLDER = '_default';

export class CertsFolder implements RegistryHosts {
  readonly #folder: string;
  readonly #log: Logger;
  /** Warnings given; a file's text is part of the key, so that a changed one is looked at again. Bounded. */
  readonly #warned = new Set<string>();

  constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  async hostsOf(registry: string): Promise<readonly RegistryHost[]> {
    for (const name of foldersOf(registry)) {
      const folder = join(this.#folder, name);
      const file = join(folder, 'hosts.toml');
      const text = await readText(file, 'registry settings');
      if (text !== undefined) return this.#fromFile(registry, file, text);
      if (name !== DEFAULT_FOLDER && (await isFolder(folder))) return [await fromCertificates(registry, folder)];
    }
    return [registryItself(registry, { capabilities: ALL_CAPABILITIES })];
  }

  async #fromFile(registry: string, path: string, text: string): Promise<readonly RegistryHost[]> {
    try {
      const file = parseHostsToml(text);
      this.#warn(path, file.unknown);
      const mirrors = await Promise.all(file.mirrors.map((m) => hostOf(registry, m, dirname(path))));
      return [...mirrors, await hostOf(registry, file.server, dirname(path))];
    } catch (e) {
      throw new StatusError('Invalid', `registry settings ${path}: ${messageOf(e)}`, { cause: e });
    }
  }

  #warn(path: string, unknown: readonly string[]): void {
    const key = `${path} ${unknown.join()}`;
    if (unknown.length === 0 || this.#warned.has(key)) return;
    if (this.#warned.size >= 256) this.#warned.clear();
    this.#warned.add(key);
    this.#log.warn({ path, keys: unknown }, 'registry settings hold keys that mean nothing');
  }
}

/** Names of the folders to look into, in order. */
export function foldersOf(registry: string): readonly string[] {
  const colon = registry.lastIndexOf(':');
  const hasPort = colon > 0 && !registry.endsWith(']');
  const escaped = hasPort ? [`${registry.slice(0, colon)}_${registry.slice(colon + 1)}_`] : [];
  return [...escaped, registry, DEFAULT_FOLDER];
}

async function hostOf(registry: string, s: HostSettings, folder: string): Promise<RegistryHost> {
  const tls = await tlsOf(s, folder);
  const { capabilities, headers, dialTimeoutMs } = s;
  const rest = { capabilities, headers, dialTimeoutMs, tls };
  if (s.url === undefined) return registryItself(registry, rest);
  const url = new URL(s.url);
  const isPlain = !s.hasScheme && tls === undefined && isLoopback(url.host);
  return { ...rest, url: isPlain ? s.url.replace(/^https:/, 'http:') : s.url };
}

async function tlsOf(s: HostSettings, folder: string): Promise<TlsSettings | undefined> {
  if (s.ca.length === 0 && s.client.length === 0 && !s.skipVerify) return undefined;
  const read = async (path: string, key: string): Promise<string> => {
    const full = resolve(folder, path);
    const text = await readText(full, key);
    if (text === undefined) throw new StatusError('Invalid', `${key}: ${full} is not there`);
    return text;
  };
  const ca = await Promise.all(s.ca.map((path) => read(path, 'ca')));
  const client = await Promise.all(
    s.client.map(async ({ cert, key }) => {
      const own = await read(cert, 'client');
      return { cert: own, key: key === undefined ? own : await read(key, 'client') };
    }),
  );
  return checked({ ca, client, skipVerify: s.skipVerify });
}

/** Docker's form: `*.crt` are authorities, `x.cert` and `x.key` a pair. */
async function fromCertificates(registry: string, folder: string): Promise<RegistryHost> {
  const names = (await readdir(folder)).sort();
  const at = (name: string): string => join(folder, name);
  const ca = names.filter((n) => n.endsWith('.crt')).map(at);
  const client: { cert: string; key: string }[] = [];
  for (const name of names.filter((n) => n.endsWith('.cert'))) {
    const key = name.replace(/\.cert$/, '.key');
    if (!names.includes(key))
      throw new StatusError('Invalid', `registry settings ${at(name)}: the key ${at(key)} is not there`);
    client.push({ cert: at(name), key: at(key) });
  }
  try {
    const tls = await tlsOf({ ca, client, skipVerify: false, ...NOTHING }, folder);
    return registryItself(registry, { capabilities: ALL_CAPABILITIES, tls });
  } catch (e) {
    throw new StatusError('Invalid', `registry settings ${folder}: ${messageOf(e)}`, { cause: e });
  }
}

const NOTHING = {
  url: undefined,
  hasScheme: false,
  capabilities: ALL_CAPABILITIES,
  headers: {},
  dialTimeoutMs: undefined,
} as const;

/** What no TLS library would take is told now, by its key, not later as a registry that cannot be reached. */
function checked(tls: TlsSettings): TlsSettings {
  for (const pem of tls.ca)
    if (!pem.includes('-----BEGIN CERTIFICATE-----'))
      throw new StatusError('Invalid', 'ca: a file holds no certificate');
  attempt('ca', () => createSecureContext({ ca: [...tls.ca] }));
  for (const pair of tls.client) attempt('client', () => createSecureContext(pair));
  return tls;
}

function attempt(key: string, fn: () => unknown): void {
  try {
    fn();
  } catch (e) {
    throw new StatusError('Invalid', `${key}: ${messageOf(e)}`, { cause: e });
  }
}

async function readText(path: string, subject: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > FILE_BYTES_MAX)
      throw new StatusError('Invalid', `${subject} ${path}: larger than ${FILE_BYTES_MAX} bytes`);
    return await readFile(path, 'utf8');
  } catch (e) {
    if (isCode(e, 'ENOENT') || isCode(e, 'ENOTDIR')) return undefined;
    if (e instanceof StatusError) throw e;
    throw new StatusError('Invalid', `${subject} ${path}: ${messageOf(e)}`, { cause: e });
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true; // not there
}

function isCode(e: unknown, code: string): boolean {
  return e instanceof Error && 'code' in e && e.code === code;
}
