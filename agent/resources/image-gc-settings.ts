/**
 * When images that nobody uses are removed.
 * Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go, pkg/kubelet/apis/config/validation, KEP-4210 (maximum age).
 */
import type { FieldReader, Fields } from '#lib/api';
import { readDurationMs } from './eviction-settings.ts';

export interface ImageGcSettings {
  /** Of the disk of images in use: from here on images go, down to the low one. 100 = none go. */
  readonly imageGCHighThresholdPercent: number;
  readonly imageGCLowThresholdPercent: number;
  /** Unused for less: stays. */
  readonly imageMinimumGCAgeMs: number;
  /** Unused for longer: goes, however much room there is. 0 = for no age. */
  readonly imageMaximumGCAgeMs: number;
}

export const IMAGE_GC_FIELDS = [
  'imageGCHighThresholdPercent',
  'imageGCLowThresholdPercent',
  'imageMinimumGCAge',
  'imageMaximumGCAge',
] as const;

export const DEFAULT_IMAGE_GC_SETTINGS: ImageGcSettings = {
  imageGCHighThresholdPercent: 85,
  imageGCLowThresholdPercent: 80,
  imageMinimumGCAgeMs: 120_000,
  imageMaximumGCAgeMs: 0,
};

const PERCENT = { min: 0, max: 100 };

export function readImageGcSettings(o: Fields, fields: FieldReader): ImageGcSettings {
  const d = DEFAULT_IMAGE_GC_SETTINGS;
  const [highName, lowName, leastName, mostName] = IMAGE_GC_FIELDS;
  const high = fields.integer(o[highName], highName, PERCENT) ?? d.imageGCHighThresholdPercent;
  const low = fields.integer(o[lowName], lowName, PERCENT) ?? d.imageGCLowThresholdPercent;
  if (low >= high) fields.mistakes.push(`${lowName}: ${low} must be less than ${highName} ${high}`);
  /* 0 is not given, as in the kubelet. */
  const least = readDurationMs(o[leastName], leastName, fields) || d.imageMinimumGCAgeMs;
  const most = readDurationMs(o[mostName], mostName, fields) ?? d.imageMaximumGCAgeMs;
  if (most > 0 && most <= least) fields.mistakes.push(`${mostName}: must be greater than ${leastName}`);
  return {
    imageGCHighThresholdPercent: high,
    imageGCLowThresholdPercent: low,
    imageMinimumGCAgeMs: least,
    imageMaximumGCAgeMs: most,
  };
}
