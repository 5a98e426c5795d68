/**
 * The settings of a node as an administrator writes them: `kubelet.config.k8s.io/v1beta1 KubeletConfiguration`, of which the
 * fields below are known; any other is a mistake. Pure but for the reading of YAML.
 * Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go, pkg/kubelet/apis/config/validation, cmd/kubelet/app/server.go
 * (parseResourceList).
 */
import { isAbsolute } from 'node:path/posix';
import { type FieldReader, type Fields, fieldErrors, readConfiguration } from '#lib/api';
import { unsafeSysctlMistake } from '../admission/sysctls.ts';
import {
  DEFAULT_VERIFICATION,
  readVerificationSettings,
  VERIFICATION_FIELDS,
  type VerificationSettings,
} from '../images/access/policy.ts';
import {
  DEFAULT_IMAGE_GC,
  IMAGE_GC_FIELDS,
  type ImageGcSettings,
  imageGcSettings,
} from '../images/collection/settings.ts';
import { IDS_PER_POD } from '../user-namespaces/ranges.ts';
import { parseCpuSet } from './cpu-set.ts';
import {
  DEFAULT_EVICTION_SETTINGS,
  EVICTION_FIELDS,
  type EvictionSettings,
  quantityText,
  readDurationMs,
  readEvictionSettings,
} from './eviction-settings.ts';
import { readShutdownSettings, SHUTDOWN_FIELDS, type ShutdownSettings } from './shutdown-settings.ts';

const API_VERSION = 'kubelet.config.k8s.io/v1beta1';
const KIND = 'KubeletConfiguration';

/** Amounts kept back, by resource, as quantities. */
export type Reserved = Readonly<Partial<Record<ReservedResource, string>>>;
export type ReservedResource = (typeof RESERVED)[number];
const RESERVED = ['cpu', 'memory', 'ephemeral-storage', 'pid'] as const;

export interface NodeSettings extends EvictionSettings, ShutdownSettings {
  /** Processes of one pod; undefined = as many as the node has. */
  readonly podPidsLimit: number | undefined;
  /** Absent = what a node of this size keeps back for itself. */
  readonly kubeReserved: Reserved | undefined;
  readonly systemReserved: Reserved;
  /** Pods together get no more than what is not reserved. */
  readonly enforcesPods: boolean;
  /** v2: beyond a memory limit one process dies, not the whole container. v1 knows nothing else. */
  readonly singleProcessOOMKill: boolean;
  readonly cpuManagerPolicy: 'none' | 'static';
  /** CPUs that no container has for itself; absent = as many of the first as are reserved. */
  readonly reservedSystemCPUs: readonly number[] | undefined;
  readonly imageGc: ImageGcSettings;
  readonly imageVerification: VerificationSettings;
  /** Who names no seccomp profile runs under RuntimeDefault. Here on by default. */
  readonly seccompDefault: boolean;
  /** Sysctls, or the beginnings of some with `*` behind, that pods may set besides the safe ones. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** The longest wait of CrashLoopBackOff before a container runs again. */
  readonly restartDelayMaxMs: number;
  /** Folder of manifests of static pods; undefined = `manifests` in the node's home. */
  readonly staticPodPath: string | undefined;
  /** Of a pod with a user namespace (userNamespaces.idsPerPod). */
  readonly idsPerPod: number;
}

const DEFAULT_POD_PIDS_LIMIT = 4096;
const RESTART_DELAY_MS = { min: 1_000, max: 300_000 };

export const DEFAULT_NODE_SETTINGS: NodeSettings = {
  podPidsLimit: DEFAULT_POD_PIDS_LIMIT,
  kubeReserved: undefined,
  systemReserved: {},
  ...DEFAULT_EVICTION_SETTINGS,
  shutdownPeriods: [],
  enforcesPods: true,
  singleProcessOOMKill: false,
  cpuManagerPolicy: 'none',
  reservedSystemCPUs: undefined,
  imageGc: DEFAULT_IMAGE_GC,
  imageVerification: DEFAULT_VERIFICATION,
  seccompDefault: true,
  allowedUnsafeSysctls: [],
  restartDelayMaxMs: RESTART_DELAY_MS.max,
  staticPodPath: undefined,
  idsPerPod: IDS_PER_POD,
};

/** Throws BadRequest that names every mistake by its field. */
export async function parseNodeSettings(text: string): Promise<NodeSettings> {
  return await readConfiguration(text, 'the kubelet configuration', read);
}

function read(value: unknown, fields: FieldReader): NodeSettings {
  const o = fields.object(value, '', [
    'apiVersion',
    'kind',
    'podPidsLimit',
    'kubeReserved',
    'systemReserved',
    ...EVICTION_FIELDS,
    ...SHUTDOWN_FIELDS,
    'enforceNodeAllocatable',
    'singleProcessOOMKill',
    'cpuManagerPolicy',
    'reservedSystemCPUs',
    ...IMAGE_GC_FIELDS,
    ...VERIFICATION_FIELDS,
    'seccompDefault',
    'allowedUnsafeSysctls',
    'staticPodPath',
    'userNamespaces',
    'crashLoopBackOff',
  ]);
  if (o['apiVersion'] !== API_VERSION || o['kind'] !== KIND)
    fields.mistakes.push(`apiVersion, kind: must be ${API_VERSION} ${KIND}`);
  return {
    podPidsLimit: readPids(o['podPidsLimit'], fields),
    kubeReserved: readReserved(o['kubeReserved'], 'kubeReserved', fields),
    systemReserved: readReserved(o['systemReserved'], 'systemReserved', fields) ?? {},
    ...readEvictionSettings(o, fields),
    ...readShutdownSettings(o, fields),
    enforcesPods: readEnforcement(o['enforceNodeAllocatable'], fields),
    singleProcessOOMKill: fields.boolean(o['singleProcessOOMKill'], 'singleProcessOOMKill') === true,
    ...readCpuPolicy(o, fields),
    imageGc: imageGcSettings(o, fields.mistakes),
    imageVerification: readVerificationSettings(o, fields),
    seccompDefault: fields.boolean(o['seccompDefault'], 'seccompDefault') ?? true,
    allowedUnsafeSysctls: readSysctls(o['allowedUnsafeSysctls'], fields),
    restartDelayMaxMs: readRestartDelay(o['crashLoopBackOff'], fields),
    staticPodPath: readPath(o['staticPodPath'], fields),
    idsPerPod: readIdsPerPod(o['userNamespaces'], fields),
  };
}

/** Source: pkg/kubelet/apis/config/validation/validation_linux.go. */
function readIdsPerPod(value: unknown, fields: FieldReader): number {
  const o = fields.optionalObject(value, 'userNamespaces', ['idsPerPod']);
  const at = 'userNamespaces.idsPerPod';
  const range = { min: IDS_PER_POD, max: 2 ** 32 - 1 };
  const ids = fields.integer(o?.['idsPerPod'], at, range) ?? IDS_PER_POD;
  if (ids % IDS_PER_POD !== 0) fields.add(fieldErrors.invalid(at, ids, `must be a multiple of ${IDS_PER_POD}`));
  return ids;
}

function readSysctls(value: unknown, fields: FieldReader): readonly string[] {
  const names = fields.strings(value, 'allowedUnsafeSysctls');
  for (const [i, name] of names.entries()) {
    const mistake = unsafeSysctlMistake(name);
    if (mistake !== undefined) fields.add(fieldErrors.invalid(`allowedUnsafeSysctls[${i}]`, name, mistake));
  }
  return names;
}

/** Source: KEP-4603 (KubeletCrashLoopBackOffMax). */
function readRestartDelay(value: unknown, fields: FieldReader): number {
  const name = 'maxContainerRestartPeriod';
  const at = `crashLoopBackOff.${name}`;
  const o = fields.optionalObject(value, 'crashLoopBackOff', [name]);
  const ms = readDurationMs(o?.[name], at, fields) ?? RESTART_DELAY_MS.max;
  if (ms < RESTART_DELAY_MS.min || ms > RESTART_DELAY_MS.max)
    fields.mistakes.push(`${at} (got: ${ms / 1000} seconds) must be set between 1s and 300s`);
  return ms;
}

function readPath(value: unknown, fields: FieldReader): string | undefined {
  const path = fields.optionalString(value, 'staticPodPath') ?? '';
  if (path === '') return undefined;
  if (!isAbsolute(path)) fields.add(fieldErrors.invalid('staticPodPath', path, 'must be an absolute path'));
  return path;
}

/** Below 1: no limit, as the kubelet's -1. */
function readPids(value: unknown, fields: FieldReader): number | undefined {
  const range = { min: -1, max: Number.MAX_SAFE_INTEGER };
  const limit = fields.integer(value, 'podPidsLimit', range) ?? DEFAULT_POD_PIDS_LIMIT;
  return limit > 0 ? limit : undefined;
}

function readReserved(value: unknown, at: string, fields: FieldReader): Reserved | undefined {
  const o = fields.optionalObject(value, at, RESERVED);
  if (o === undefined) return undefined;
  const out: Partial<Record<ReservedResource, string>> = {};
  for (const name of RESERVED) {
    const text = quantityText(o[name], `${at}[${name}]`, fields);
    if (text !== undefined) out[name] = text;
  }
  return out;
}

function readCpuPolicy(o: Fields, fields: FieldReader): Pick<NodeSettings, 'cpuManagerPolicy' | 'reservedSystemCPUs'> {
  const policy = fields.optionalString(o['cpuManagerPolicy'], 'cpuManagerPolicy') ?? 'none';
  if (policy !== 'none' && policy !== 'static')
    fields.add(fieldErrors.notSupported('cpuManagerPolicy', policy, ['none', 'static']));
  const list = fields.optionalString(o['reservedSystemCPUs'], 'reservedSystemCPUs');
  const cpus = list === undefined || list === '' ? undefined : parseCpuSet(list);
  if (list !== undefined && list !== '' && cpus === undefined)
    fields.add(fieldErrors.invalid('reservedSystemCPUs', list, 'must be a list of CPUs, as 0-1,4'));
  if (cpus !== undefined && [o['kubeReserved'], o['systemReserved']].some(hasCpu))
    fields.mistakes.push(
      'reservedSystemCPUs: stands for the cpu of kubeReserved and systemReserved, which may not be given too',
    );
  return { cpuManagerPolicy: policy === 'static' ? 'static' : 'none', reservedSystemCPUs: cpus };
}

function hasCpu(reserved: unknown): boolean {
  return typeof reserved === 'object' && reserved !== null && 'cpu' in reserved;
}

/** Enforcement on the cgroups of the system and of the agent itself is the service manager's. */
function readEnforcement(value: unknown, fields: FieldReader): boolean {
  if (value === undefined || value === null) return true;
  const names = fields.strings(value, 'enforceNodeAllocatable');
  for (const [i, name] of names.entries())
    if (name !== 'pods' && name !== 'none')
      fields.add(fieldErrors.notSupported(`enforceNodeAllocatable[${i}]`, name, ['none', 'pods']));
  if (names.includes('none') && names.length > 1)
    fields.add(fieldErrors.invalid('enforceNodeAllocatable', names, 'may not hold others beside "none"'));
  return names.includes('pods');
}
