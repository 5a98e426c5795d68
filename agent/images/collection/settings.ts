/**
 * When unused images are removed, by the kubelet's settings. Pure.
 * Source: kubernetes staging/src/k8s.io/kubelet/config/v1beta1/types.go, pkg/kubelet/apis/config/validation/validation.go.
 */
import { parseGoDuration } from '#lib/base';

export interface ImageGcSettings {
  /** Above so much of the disk (or of its inodes) in use, images are removed until no more than the low one is. Percent. */
  readonly highThresholdPercent: number;
  readonly lowThresholdPercent: number;
  /** Not before so long without use. */
  readonly minimumAgeMs: number;
  /** After so long without use whatever the disk holds; 0 = never. */
  readonly maximumAgeMs: number;
}

export const IMAGE_GC_FIELDS = [
  'imageGCHighThresholdPercent',
  'imageGCLowThresholdPercent',
  'imageMinimumGCAge',
  'imageMaximumGCAge',
] as const;

export const DEFAULT_IMAGE_GC: ImageGcSettings = {
  highThresholdPercent: 85,
  lowThresholdPercent: 80,
  minimumAgeMs: 120_000,
  maximumAgeMs: 0,
};

/** Of a KubeletConfiguration's fields; what is wrong is added to `mistakes`, by its field. */
export function imageGcSettings(fields: Readonly<Record<string, unknown>>, mistakes: string[]): ImageGcSettings {
  const d = DEFAULT_IMAGE_GC;
  const before = mistakes.length;
  const highThresholdPercent = percent(fields, 'imageGCHighThresholdPercent', d.highThresholdPercent, mistakes);
  const lowThresholdPercent = percent(fields, 'imageGCLowThresholdPercent', d.lowThresholdPercent, mistakes);
  const minimumAgeMs = duration(fields, 'imageMinimumGCAge', d.minimumAgeMs, mistakes);
  const maximumAgeMs = duration(fields, 'imageMaximumGCAge', d.maximumAgeMs, mistakes);
  if (mistakes.length > before) return d;
  if (lowThresholdPercent >= highThresholdPercent)
    mistakes.push(
      `imageGCLowThresholdPercent: ${lowThresholdPercent} must be less than imageGCHighThresholdPercent ${highThresholdPercent}`,
    );
  if (maximumAgeMs !== 0 && maximumAgeMs <= minimumAgeMs)
    mistakes.push('imageMaximumGCAge: must be greater than imageMinimumGCAge');
  return { highThresholdPercent, lowThresholdPercent, minimumAgeMs, maximumAgeMs };
}

type Field = (typeof IMAGE_GC_FIELDS)[number];

function percent(
  fields: Readonly<Record<string, unknown>>,
  name: Field,
  otherwise: number,
  mistakes: string[],
): number {
  const value = fields[name];
  if (value === undefined || value === null) return otherwise;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 100) return value;
  mistakes.push(`${name}: must be a whole number from 0 to 100`);
  return otherwise;
}

function duration(
  fields: Readonly<Record<string, unknown>>,
  name: Field,
  otherwise: number,
  mistakes: string[],
): number {
  const value = fields[name];
  if (value === undefined || value === null) return otherwise;
  const ms = typeof value === 'string' ? parseGoDuration(value) : undefined;
  if (ms !== undefined) return ms;
  mistakes.push(`${name}: must be a duration such as "2m" or "168h"`);
  return otherwise;
}
