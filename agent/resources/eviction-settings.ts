/**
 * When a node is under pressure, as an administrator writes it: thresholds of signals, and how patient it is.
 * Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go, pkg/kubelet/eviction/helpers.go (ParseThresholdConfig),
 * defaults_linux.go, pkg/kubelet/apis/config/v1beta1/defaults.go.
 */
import { type FieldReader, type Fields, fieldErrors, tryParseQuantity } from '#lib/api';
import { parseGoDuration } from '#lib/base';

/** By signal: a quantity, or a percentage as `10%`. */
export type Thresholds = Readonly<Partial<Record<Signal, string>>>;
export type Signal = (typeof SIGNALS)[number];
const SIGNALS = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'pid.available',
] as const;

export interface EvictionSettings {
  /** Acted upon at once, with no grace for pods. */
  readonly evictionHard: Thresholds;
  /** Acted upon when it holds for the signal's grace period; each signal here has one. */
  readonly evictionSoft: Thresholds;
  readonly evictionSoftGracePeriodMs: Readonly<Partial<Record<Signal, number>>>;
  /** How far beyond its threshold a signal is brought once pods are evicted for it. */
  readonly evictionMinimumReclaim: Thresholds;
  /** Seconds, of a pod evicted for a soft threshold. */
  readonly evictionMaxPodGracePeriod: number;
  /** A condition holds on for so long after its threshold was last met. */
  readonly evictionPressureTransitionPeriodMs: number;
  /** Limits of ephemeral storage and of emptyDir volumes count. */
  readonly localStorageCapacityIsolation: boolean;
}

export const EVICTION_FIELDS = [
  'evictionHard',
  'mergeDefaultEvictionSettings',
  'evictionSoft',
  'evictionSoftGracePeriod',
  'evictionMinimumReclaim',
  'evictionMaxPodGracePeriod',
  'evictionPressureTransitionPeriod',
  'localStorageCapacityIsolation',
] as const;

const DEFAULT_HARD: Thresholds = {
  'memory.available': '100Mi',
  'nodefs.available': '10%',
  'nodefs.inodesFree': '5%',
  'imagefs.available': '15%',
  'imagefs.inodesFree': '5%',
};
const GRACE_SECONDS_MAX = 2 ** 31 - 1;

export const DEFAULT_EVICTION_SETTINGS: EvictionSettings = {
  evictionHard: DEFAULT_HARD,
  evictionSoft: {},
  evictionSoftGracePeriodMs: {},
  evictionMinimumReclaim: {},
  evictionMaxPodGracePeriod: 0,
  evictionPressureTransitionPeriodMs: 300_000,
  localStorageCapacityIsolation: true,
};

export function readEvictionSettings(o: Fields, fields: FieldReader): EvictionSettings {
  const defaults = DEFAULT_EVICTION_SETTINGS;
  const hard = readThresholds(o['evictionHard'], 'evictionHard', fields);
  const isMerged = fields.boolean(o['mergeDefaultEvictionSettings'], 'mergeDefaultEvictionSettings') === true;
  const soft = readThresholds(o['evictionSoft'], 'evictionSoft', fields) ?? {};
  const graces = readGracePeriods(o['evictionSoftGracePeriod'], fields);
  for (const signal of SIGNALS)
    if (soft[signal] !== undefined && graces[signal] === undefined)
      fields.mistakes.push(
        `evictionSoftGracePeriod: grace period must be specified for the soft eviction threshold ${signal}`,
      );
  const range = { min: 0, max: GRACE_SECONDS_MAX };
  const transition = 'evictionPressureTransitionPeriod';
  const isolation = fields.boolean(o['localStorageCapacityIsolation'], 'localStorageCapacityIsolation');
  return {
    evictionHard: hard === undefined || isMerged ? { ...DEFAULT_HARD, ...hard } : hard,
    evictionSoft: soft,
    evictionSoftGracePeriodMs: graces,
    evictionMinimumReclaim: readThresholds(o['evictionMinimumReclaim'], 'evictionMinimumReclaim', fields) ?? {},
    evictionMaxPodGracePeriod:
      fields.integer(o['evictionMaxPodGracePeriod'], 'evictionMaxPodGracePeriod', range) ??
      defaults.evictionMaxPodGracePeriod,
    /* 0 is not given, as in the kubelet. */
    evictionPressureTransitionPeriodMs:
      readDurationMs(o[transition], transition, fields) || defaults.evictionPressureTransitionPeriodMs,
    localStorageCapacityIsolation: isolation ?? defaults.localStorageCapacityIsolation,
  };
}

function readThresholds(value: unknown, name: string, fields: FieldReader): Thresholds | undefined {
  const o = fields.optionalObject(value, name, SIGNALS);
  if (o === undefined) return undefined;
  const out: Partial<Record<Signal, string>> = {};
  for (const signal of SIGNALS) {
    const at = `${name}[${signal}]`;
    const given = o[signal];
    const percent = typeof given === 'string' ? /^(\d+(?:\.\d+)?)%$/.exec(given) : null;
    if (percent === null) {
      const text = quantityText(given, at, fields);
      if (text !== undefined) out[signal] = text;
    } else if (Number(percent[1]) >= 100) fields.add(fieldErrors.invalid(at, given, 'must be less than 100%'));
    else out[signal] = percent[0];
  }
  return out;
}

function readGracePeriods(value: unknown, fields: FieldReader): Partial<Record<Signal, number>> {
  const name = 'evictionSoftGracePeriod';
  const o = fields.optionalObject(value, name, SIGNALS) ?? {};
  const out: Partial<Record<Signal, number>> = {};
  for (const signal of SIGNALS) {
    const ms = readDurationMs(o[signal], `${name}[${signal}]`, fields);
    if (ms !== undefined) out[signal] = ms;
  }
  return out;
}

/** As `90s`, `1m30s`. */
export function readDurationMs(value: unknown, at: string, fields: FieldReader): number | undefined {
  const text = fields.optionalString(value, at);
  if (text === undefined) return undefined;
  const ms = parseGoDuration(text);
  if (ms === undefined)
    fields.add(fieldErrors.invalid(at, text, 'must be a duration that is not negative, as 90s or 1m30s'));
  return ms;
}

/** A number counts as the quantity it reads as: YAML makes one of `cpu: 1`. */
export function quantityText(value: unknown, at: string, fields: FieldReader): string | undefined {
  const text = typeof value === 'number' ? String(value) : fields.optionalString(value, at);
  if (text === undefined) return undefined;
  const quantity = tryParseQuantity(text);
  if (quantity === undefined) fields.add(fieldErrors.invalid(at, text, 'must be a quantity, as 500m or 1Gi'));
  else if (quantity.nano < 0n) fields.add(fieldErrors.invalid(at, text, 'must be greater than or equal to 0'));
  else return text;
  return undefined;
}
