/**
 * What POST /build is asked for. Source: moby api/docs/v1.51.yaml (ImageBuild), daemon/server/router/build/build_routes.go.
 * Pure. What this builder does not do is refused in words that say what does.
 */
import { messageOf } from '#lib/base';
import { asArray, asObject, asSize, asString, asStringMap, asStrings, type Platform, parseReference } from '#lib/oci';
import type { CacheExport } from '../../build/cache/travelling.ts';
import { DEFAULT_STEP, type StepSettings } from '../../build/node/step-settings.ts';
import type { BuildArgs } from '../../build/stage/scope.ts';
import { parsePlatform } from '../../images/platform.ts';
import { badParameter, type EngineQuery } from '../http/contract.ts';

export interface BuildOptions {
  readonly dockerfile: string;
  /** URL of a tar or a Dockerfile; '' = the body is the context. */
  readonly remote: string;
  readonly tags: readonly string[];
  readonly quiet: boolean;
  readonly noCache: boolean;
  readonly pull: boolean;
  readonly buildArgs: BuildArgs;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: string;
  readonly network: 'default' | 'none' | 'host';
  /** Undefined: the machine's. */
  readonly platform: Platform | undefined;
  readonly step: StepSettings;
  readonly latestMs: number | undefined;
  readonly cacheFrom: readonly string[];
  /** In the image itself, by the build arg that BuildKit's users know: the query has no word for it. */
  readonly cacheTo: readonly CacheExport[];
  /** For /build/cancel; '' = none. */
  readonly buildId: string;
}

const PROCESS_LIMITS: ReadonlySet<string> = new Set([
  ...['as', 'core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss', 'rtprio'],
  ...['rttime', 'sigpending', 'stack'],
]);
const MEMORY_BYTES_MIN = 6 << 20;
const GIT_URL = /^(git@|git:\/\/|github\.com\/)|^https?:\/\/[^#]*\.git(#|$)/i;

/** Throws 400. */
export function readBuildOptions(q: EngineQuery): BuildOptions {
  refuseUnsupported(q);
  const remote = q.get('remote') ?? '';
  const buildArgs = jsonOf(q, 'buildargs', 'error reading build args', readBuildArgs) ?? new Map();
  return {
    dockerfile: q.get('dockerfile') || 'Dockerfile',
    remote,
    tags: q
      .all('t')
      .filter((t) => t !== '')
      .map(checkTag),
    quiet: q.bool('q'),
    noCache: q.bool('nocache'),
    pull: q.bool('pull'),
    buildArgs,
    labels: jsonOf(q, 'labels', 'error reading labels', (o) => asStringMap(o, 'labels')) ?? {},
    target: q.get('target') ?? '',
    network: networkOf(q.get('networkmode') ?? ''),
    platform: platformOf(q.get('platform') ?? ''),
    step: stepOf(q),
    latestMs: latestOf(buildArgs),
    cacheFrom: jsonOf(q, 'cachefrom', 'error reading cache-from', (v) => asStrings(v, 'cachefrom')) ?? [],
    cacheTo: buildArgs.get('BUILDKIT_INLINE_CACHE') === '1' ? [{ type: 'inline' }] : [],
    buildId: q.get('buildid') ?? '',
  };
}

function refuseUnsupported(q: EngineQuery): void {
  const version = q.get('version') ?? '';
  if (version !== '' && version !== '1' && version !== '2') throw badParameter(`invalid version "${version}"`);
  const instead = 'set DOCKER_BUILDKIT=0, or build with `berth build`, which has what BuildKit has';
  if (version === '2') throw badParameter(`this engine has no BuildKit: ${instead}`);
  if ((q.get('session') ?? '') !== '' || q.get('remote') === 'client-session')
    throw badParameter(`builds with a session need BuildKit: ${instead}`);
  if ((q.get('outputs') ?? '') !== '') throw badParameter(`outputs of a build need BuildKit: ${instead} --output`);
  if (q.bool('squash')) throw badParameter('squash is only supported with experimental mode');
  if (q.all('securityopt').length > 0) throw badParameter('security options are not supported on linux');
  const remote = q.get('remote') ?? '';
  if (GIT_URL.test(remote))
    throw badParameter(`${remote}: git repositories are no contexts here; clone it, and build the folder`);
  if (remote !== '' && !/^https?:\/\//i.test(remote) && remote !== 'client-session')
    throw badParameter(`remoteURL (${remote}) could not be recognized as URL`);
  if ((q.get('cpusetmems') ?? '') !== '') throw badParameter('cpusetmems is not supported in builds');
}

function platformOf(text: string): Platform | undefined {
  if (text === '') return undefined;
  try {
    return parsePlatform(text);
  } catch (e) {
    throw badParameter(messageOf(e));
  }
}

function checkTag(text: string): string {
  try {
    if (parseReference(text).digest === undefined) return text;
  } catch (e) {
    throw badParameter(`Error parsing reference: "${text}" is not a valid repository/tag: ${messageOf(e)}`);
  }
  throw badParameter('build tag cannot contain a digest');
}

/** null: the client was asked for it and has no value. */
function readBuildArgs(value: unknown): BuildArgs {
  const out = new Map<string, string | null>();
  for (const [key, v] of Object.entries(asObject(value, 'buildargs')))
    out.set(key, v === null ? null : asString(v, `buildargs.${key}`));
  return out;
}

/** A step's network is the host's, or none (ADR 0027). */
function networkOf(mode: string): BuildOptions['network'] {
  switch (mode) {
    case '':
    case 'default':
    case 'bridge':
      return 'default';
    case 'host':
    case 'none':
      return mode;
    default:
      throw badParameter(`networkmode ${mode}: the steps of a build have the host's network, or none`);
  }
}

function stepOf(q: EngineQuery): StepSettings {
  const [shmBytes, memory, swap] = [q.int('shmsize', 0), q.int('memory', 0), q.int('memswap', 0)];
  if (shmBytes < 0) throw badParameter('SHM size can not be less than 0');
  if (memory !== 0 && memory < MEMORY_BYTES_MIN) throw badParameter('Minimum memory limit allowed is 6MB');
  if (swap > 0 && memory === 0)
    throw badParameter('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (swap > 0 && swap < memory)
    throw badParameter('Minimum memoryswap limit should be larger than memory limit, see usage');
  const numbers = { shares: q.int('cpushares', 0), quota: q.int('cpuquota', 0), period: q.int('cpuperiod', 0) };
  const cpus = q.get('cpusetcpus') ?? '';
  if (!/^[\d,-]*$/.test(cpus)) throw badParameter(`Invalid value ${cpus} for cpuset cpus`);
  const cpu = { ...Object.fromEntries(Object.entries(numbers).filter(([, n]) => n !== 0)), ...(cpus && { cpus }) };
  return {
    shmBytes: shmBytes === 0 ? DEFAULT_STEP.shmBytes : shmBytes,
    hosts: q.all('extrahosts').map(hostOf),
    rlimits: jsonOf(q, 'ulimits', 'error reading ulimit settings', readLimits) ?? [],
    resources: {
      ...(Object.keys(cpu).length > 0 && { cpu }),
      ...(memory > 0 && { memory: { limit: memory, ...(swap !== 0 && { swap }) } }),
    },
  };
}

function readLimits(value: unknown): StepSettings['rlimits'] {
  return asArray(value, 'ulimits').map((item) => {
    const { Name, Soft, Hard } = asObject(item, 'ulimit');
    const name = asString(Name, 'ulimit.Name');
    if (!PROCESS_LIMITS.has(name)) throw badParameter(`invalid ulimit type: ${name}`);
    return { type: `RLIMIT_${name.toUpperCase()}`, soft: limit(Soft), hard: limit(Hard) };
  });
}

/** -1: none. */
function limit(value: unknown): number {
  return value === -1 ? Number.MAX_SAFE_INTEGER : asSize(value, 'ulimit');
}

/** `name:address` or `name=address`; the gateway of a step is the host itself. */
function hostOf(text: string): StepSettings['hosts'][number] {
  const [, name, given] = /^([A-Za-z0-9._-]+)[:=]\[?([0-9A-Fa-f:.%]+|host-gateway)\]?$/.exec(text) ?? [];
  if (name === undefined || given === undefined) throw badParameter(`bad format for add-host: "${text}"`);
  return { name, address: given === 'host-gateway' ? '127.0.0.1' : given };
}

function latestOf(args: BuildArgs): number | undefined {
  const given = args.get('SOURCE_DATE_EPOCH') ?? '';
  if (given === '') return undefined;
  if (!/^\d{1,12}$/.test(given)) throw badParameter(`SOURCE_DATE_EPOCH ${given} is no number of seconds`);
  return Number(given) * 1000;
}

/** Of a parameter that is JSON, an object or a list. */
function jsonOf<T>(q: EngineQuery, name: string, what: string, read: (value: unknown) => T): T | undefined {
  const text = q.get(name) ?? '';
  if (text === '' || text === 'null') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return read(value);
  } catch (e) {
    throw badParameter(`${what}: ${messageOf(e)}`);
  }
}
