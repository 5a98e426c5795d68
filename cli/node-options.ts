/**
 * What `berth agent` and `berth join` are told about a node, looked at before anything is made or a join token is spent: a
 * mistake that shows only in the agent's log is found by nobody.
 */
import { isIP } from 'node:net';
import { isLabelValue, isQualifiedName } from '#lib/api';
import { StatusError } from '#lib/base';
import { homeMistake, isNodeName } from './names.ts';

export interface NodeOptions {
  readonly home?: string | undefined;
  readonly nodeName?: string | undefined;
  readonly nodeIp?: string | undefined;
  /** `host:port` each. */
  readonly gateway?: readonly string[] | undefined;
  readonly networkMode?: string | undefined;
  readonly registryPort?: string | undefined;
  readonly registryUpstream?: string | undefined;
  readonly certsDir?: string | undefined;
  readonly logFolder?: string | undefined;
  readonly rootDir?: string | undefined;
  readonly maxPods?: string | undefined;
  readonly label?: readonly string[] | undefined;
  readonly taint?: readonly string[] | undefined;
  readonly logLevel?: string | undefined;
}

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'];
const NETWORK_MODES = ['vxlan', 'routes'];
const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
/** A node has a /24 of addresses for its pods. */
const PODS_MAX = 250;

/** Throws Invalid with every mistake found. */
export function refuseNodeMistakes(o: NodeOptions): void {
  const out: string[] = [];
  const check = (flag: string, value: string | undefined, isRight: (v: string) => boolean, wanted: string): void => {
    if (value !== undefined && !isRight(value)) out.push(`${flag} ${value}: ${wanted}`);
  };
  const home = o.home === undefined ? undefined : homeMistake(o.home);
  if (home !== undefined) out.push(`--home ${home}`);
  check('--node-name', o.nodeName, isNodeName, 'lower-case letters, digits, "-" and "."');
  check('--node-ip', o.nodeIp, (v) => isIP(v) === 4, 'an IPv4 address');
  for (const g of o.gateway ?? [])
    check('--gateway', g, isEndpoint, 'write it as HOST:PORT, for example 10.0.0.1:6444');
  check('--network-mode', o.networkMode, (v) => NETWORK_MODES.includes(v), `one of ${NETWORK_MODES.join(', ')}`);
  check('--registry-port', o.registryPort, (v) => isWhole(v, 65_535), 'a port from 1 to 65535');
  const upstream = (v: string): boolean => isEndpoint(v.replace(/^(tls|tcp):\/\//, ''));
  check('--registry-upstream', o.registryUpstream, upstream, 'HOST:PORT, or tls://HOST:PORT');
  check('--certs-dir', o.certsDir, (v) => v.startsWith('/'), 'an absolute path');
  check('--root-dir', o.rootDir, (v) => v.startsWith('/'), 'an absolute path');
  check('--log-folder', o.logFolder, (v) => v.startsWith('/'), 'an absolute path');
  check('--max-pods', o.maxPods, (v) => isWhole(v, PODS_MAX), `a whole number from 1 to ${PODS_MAX}`);
  for (const l of o.label ?? []) check('--label', l, isLabel, 'write it as KEY=VALUE, with signs that labels may hold');
  for (const t of o.taint ?? [])
    check('--taint', t, (v) => parseTaint(v) !== undefined, `write it as KEY[=VALUE]:EFFECT, of ${EFFECTS.join(', ')}`);
  check('--log-level', o.logLevel, (v) => LOG_LEVELS.includes(v), `one of ${LOG_LEVELS.join(', ')}`);
  if (out.length > 0) throw new StatusError('Invalid', out.join('\n'));
}

/** `host:port` or `[v6]:port` */
export function isEndpoint(text: string): boolean {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]/\s]+):(\d{1,5})$/.exec(text);
  return match !== null && isWhole(match[2] ?? '', 65_535);
}

/** `key=value:Effect` or `key:Effect`; undefined for anything else. */
export function parseTaint(text: string): Taint | undefined {
  const [left = '', effect = '', ...more] = text.split(':');
  const at = left.indexOf('=');
  const key = at < 0 ? left : left.slice(0, at);
  const value = at < 0 ? undefined : left.slice(at + 1);
  if (more.length > 0 || !EFFECTS.includes(effect) || !isQualifiedName(key) || !isLabelValue(value ?? ''))
    return undefined;
  return { key, effect, ...(value === undefined ? {} : { value }) };
}

function isLabel(text: string): boolean {
  const at = text.indexOf('=');
  return at > 0 && isQualifiedName(text.slice(0, at)) && isLabelValue(text.slice(at + 1));
}

function isWhole(text: string, max: number): boolean {
  return /^\d{1,9}$/.test(text) && Number(text) >= 1 && Number(text) <= max;
}
