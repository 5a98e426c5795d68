/**
 * The config document of an image, read for people: what cannot be read of it is absent, so that one odd image does not take
 * all others from a list. Its layers were verified when it came. Source: image-spec config.md; docker-image-spec v1.3.
 */
import { type Digest, isKind, parseDigest } from '#lib/base';
import { asArray, asObject, asString, asStringMap, asStrings, type JsonObject, parseJsonObject } from '#lib/oci';
import type { HealthConfig, ImageDocument, ImageDocumentConfig } from '../types.ts';

export interface ReadDocument {
  readonly document: ImageDocument;
  /** As it came. */
  readonly raw: JsonObject;
}

export function readDocument(id: Digest, bytes: Uint8Array): ReadDocument {
  const raw = parseJsonObject(bytes, 'image config');
  const rootfs = lenient(raw['rootfs'], asObject) ?? {};
  const document: ImageDocument = {
    id,
    createdAtMs: timeOf(raw['created']),
    author: textOf(raw['author']),
    architecture: textOf(raw['architecture']),
    variant: textOf(raw['variant']),
    os: textOf(raw['os']),
    config: configOf(lenient(raw['config'], asObject) ?? {}),
    history: (lenient(raw['history'], asArray) ?? []).map((value) => {
      const h = lenient(value, asObject) ?? {};
      return {
        createdAtMs: timeOf(h['created']),
        createdBy: textOf(h['created_by']),
        comment: textOf(h['comment']),
        isEmptyLayer: h['empty_layer'] === true,
      };
    }),
    diffIds: (lenient(rootfs['diff_ids'], asStrings) ?? []).map(parseDigest),
  };
  return { document, raw };
}

function configOf(o: JsonObject): ImageDocumentConfig {
  const texts = (key: string): readonly string[] | undefined => lenient(o[key], asStrings);
  const set = (key: string): Readonly<Record<string, object>> | undefined => {
    const value = lenient(o[key], asObject);
    return value && Object.fromEntries(Object.keys(value).map((k) => [k, {}]));
  };
  const text = (key: string): string | undefined => textOf(o[key]) || undefined;
  return dropAbsent({
    User: text('User'),
    ExposedPorts: set('ExposedPorts'),
    Env: texts('Env'),
    Entrypoint: texts('Entrypoint'),
    Cmd: texts('Cmd'),
    Volumes: set('Volumes'),
    WorkingDir: text('WorkingDir'),
    Labels: lenient(o['Labels'], asStringMap),
    StopSignal: text('StopSignal'),
    Healthcheck: healthOf(o['Healthcheck']),
    Shell: texts('Shell'),
    OnBuild: texts('OnBuild'),
    ArgsEscaped: o['ArgsEscaped'] === true ? true : undefined,
  });
}

function healthOf(value: unknown): HealthConfig | undefined {
  const h = lenient(value, asObject);
  if (h === undefined) return undefined;
  const number = (key: string): number | undefined => {
    const n = h[key];
    return typeof n === 'number' && Number.isFinite(n) && n >= 0 ? n : undefined;
  };
  return dropAbsent({
    Test: lenient(h['Test'], asStrings),
    Interval: number('Interval'),
    Timeout: number('Timeout'),
    StartPeriod: number('StartPeriod'),
    StartInterval: number('StartInterval'),
    Retries: number('Retries'),
  });
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function dropAbsent<T extends object>(o: T): Present<T> {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as Present<T>;
}

function lenient<T>(value: unknown, read: (v: unknown, what: string) => T): T | undefined {
  try {
    return value === undefined || value === null ? undefined : read(value, '');
  } catch (e) {
    if (!isKind(e, 'Invalid')) throw e;
    return undefined;
  }
}

function textOf(value: unknown): string {
  return lenient(value, asString) ?? '';
}

/** 0 = not said, or no time. */
function timeOf(value: unknown): number {
  const ms = Date.parse(textOf(value));
  return Number.isFinite(ms) ? ms : 0;
}
