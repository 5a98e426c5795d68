/**
 * `hosts.toml`: where the images of one registry may be got, in order, and how each place is spoken to. Pure: paths of
 * certificates are given back as they are, to be read by the caller (certs-folder.ts).
 *
 *     server = "https://registry.example"          # the registry itself, asked last; with the keys below for it
 *     [host."https://mirror.example:8443"]
 *       capabilities = ["pull", "resolve"]          # push, pull and resolve when absent
 *       ca = "ca.pem"                               # or a list
 *       client = [["client.pem", "client.key"]]     # or one file that holds both, or a list of such files
 *       skip_verify = false
 *       override_path = false                       # true: the URL's path is used as it is, without /v2
 *       dial_timeout = "3s"
 *       [host."https://mirror.example:8443".header]
 *         x-team = "a"                              # or a list
 *
 * Source: containerd docs/hosts.md.
 */
import { parse, type TomlError } from 'smol-toml';
import { parseGoDuration, StatusError } from '#lib/base';
import type { HostCapability } from '#lib/oci';

export interface HostSettings {
  /** Root of the API, without a trailing slash; undefined = the registry by its own name. */
  readonly url: string | undefined;
  /** Whether the URL was given with http or https. */
  readonly hasScheme: boolean;
  readonly capabilities: ReadonlySet<HostCapability>;
  /** Paths. */
  readonly ca: readonly string[];
  /** Paths; without a key the first file holds both. */
  readonly client: readonly { readonly cert: string; readonly key: string | undefined }[];
  readonly skipVerify: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly dialTimeoutMs: number | undefined;
}

export interface HostsFile {
  /** In the order of the file. */
  readonly mirrors: readonly HostSettings[];
  readonly server: HostSettings;
  /** Keys that mean nothing here, as `host."https://m".skip_verfy`. */
  readonly unknown: readonly string[];
}

const CAPABILITIES: readonly HostCapability[] = ['pull', 'resolve', 'push'];
const KEYS = ['capabilities', 'ca', 'client', 'skip_verify', 'header', 'override_path', 'dial_timeout'];
const MIRRORS_MAX = 32;

type Table = Readonly<Record<string, unknown>>;

/** Throws Invalid; the message begins with the key that is wrong, or with the line where the file is no TOML. */
export function parseHostsToml(text: string): HostsFile {
  const doc = parseToml(text);
  const unknown = Object.keys(doc).filter((k) => k !== 'server' && k !== 'host' && !KEYS.includes(k));
  const hosts = doc['host'] === undefined ? {} : asTable(doc['host'], 'host');
  const names = Object.keys(hosts);
  if (names.length > MIRRORS_MAX) throw wrong('host', `more than ${MIRRORS_MAX} hosts`);
  const mirrors = names.map((name) => {
    const key = `host.${JSON.stringify(name)}`;
    const table = asTable(hosts[name], key);
    unknown.push(
      ...Object.keys(table)
        .filter((k) => !KEYS.includes(k))
        .map((k) => `${key}.${k}`),
    );
    return settingsOf(table, `${key}.`, { name, key });
  });
  const server = doc['server'] === undefined ? undefined : asText(doc['server'], 'server');
  const own = server === undefined || server === '' ? undefined : { name: server, key: 'server' };
  return { mirrors, server: settingsOf(doc, '', own), unknown };
}

function parseToml(text: string): Table {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw', maxDepth: 16 });
  } catch (e) {
    throw new StatusError('Invalid', tomlMessage(e), { cause: e });
  }
}

function tomlMessage(e: unknown): string {
  const isToml = (x: unknown): x is TomlError => x instanceof Error && 'line' in x && 'column' in x;
  if (!isToml(e)) return e instanceof Error ? e.message : String(e);
  const [first = ''] = e.message.split('\n');
  return `line ${e.line}, column ${e.column}: ${first}`;
}

function settingsOf(t: Table, prefix: string, at: { name: string; key: string } | undefined): HostSettings {
  const of = <T>(key: string, read: (value: unknown, key: string) => T, fallback: T): T =>
    t[key] === undefined ? fallback : read(t[key], `${prefix}${key}`);
  const isWhole = of('override_path', asBoolean, false);
  return {
    url: at === undefined ? undefined : urlOf(at.name, at.key, isWhole),
    hasScheme: at !== undefined && /^https?:\/\//.test(at.name),
    capabilities: of('capabilities', asCapabilities, new Set(CAPABILITIES)),
    ca: of('ca', asTexts, []),
    client: of('client', asPairs, []),
    skipVerify: of('skip_verify', asBoolean, false),
    headers: of('header', asHeaders, {}),
    dialTimeoutMs: of('dial_timeout', asDuration, undefined),
  };
}

/** A name without a scheme is https. `/v2` is added to the path unless it is there or the path is to be used as it is. */
function urlOf(name: string, key: string, isWhole: boolean): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(name) ? name : `https://${name}`;
  if (!URL.canParse(text)) throw wrong(key, `${JSON.stringify(name)} is no URL`);
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw wrong(key, `${JSON.stringify(name)}: a registry is spoken to by http or https`);
  if (url.username !== '' || url.search !== '' || url.hash !== '')
    throw wrong(key, `${url.protocol}//${url.host}: only host, port and path may stand here`);
  const path = url.pathname.replace(/\/+$/, '');
  return `${url.origin}${isWhole || path.endsWith('/v2') ? path : `${path}/v2`}`;
}

function asCapabilities(value: unknown, key: string): ReadonlySet<HostCapability> {
  const known = (text: string): HostCapability => {
    const found = CAPABILITIES.find((x) => x === text);
    if (found === undefined)
      throw wrong(key, `unknown capability ${JSON.stringify(text)}, there are ${CAPABILITIES.join(', ')}`);
    return found;
  };
  const given = asTexts(value, key).filter((x) => x !== 'referrers');
  return new Set(given.length === 0 ? CAPABILITIES : given.map(known));
}

function asPairs(value: unknown, key: string): HostSettings['client'] {
  if (typeof value === 'string') return [{ cert: value, key: undefined }];
  if (!Array.isArray(value)) throw wrong(key, 'a path, or a list of paths or of pairs of them is wanted');
  return value.map((entry: unknown) => {
    if (typeof entry === 'string') return { cert: entry, key: undefined };
    const [cert = '', own, ...more] = asTexts(entry, key);
    if (own === undefined || more.length > 0) throw wrong(key, 'a pair is a list of two paths, certificate and key');
    return { cert, key: own === '' ? undefined : own };
  });
}

function asHeaders(value: unknown, key: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, given] of Object.entries(asTable(value, key))) {
    const text = asTexts(given, `${key}.${name}`).join(', ');
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw wrong(`${key}.${name}`, 'not the name of a header');
    if (/[^\t\x20-\x7e\x80-\xff]/.test(text)) throw wrong(`${key}.${name}`, 'not the value of a header');
    out[name.toLowerCase()] = text;
  }
  return out;
}

/** Go's form: `300ms`, `3s`, `1m30s`. */
function asDuration(value: unknown, key: string): number {
  const text = asText(value, key);
  const ms = parseGoDuration(text);
  if (ms === undefined) throw wrong(key, `${JSON.stringify(text)} is no duration such as "3s"`);
  if (ms < 1 || ms > 3_600_000) throw wrong(key, 'must be from 1ms to 1h');
  return ms;
}

function asTable(value: unknown, key: string): Table {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(key, 'a table is wanted');
  return Object.fromEntries(Object.entries(value));
}

function asText(value: unknown, key: string): string {
  if (typeof value !== 'string') throw wrong(key, 'a text is wanted');
  return value;
}

function asTexts(value: unknown, key: string): readonly string[] {
  return Array.isArray(value) ? value.map((v: unknown) => asText(v, key)) : [asText(value, key)];
}

function asBoolean(value: unknown, key: string): boolean {
  if (typeof value !== 'boolean') throw wrong(key, 'true or false is wanted');
  return value;
}

function wrong(key: string, text: string): StatusError {
  return new StatusError('Invalid', `${key}: ${text}`);
}
