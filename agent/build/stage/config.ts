/**
 * The config of an image that is being built: what its base said, changed by instructions. Fields that nobody here knows stay.
 * Source: image-spec config.md; docker-image-spec v1.3 (Healthcheck, OnBuild, Shell, ArgsEscaped). Pure.
 */
import { timeText } from '#lib/base';
import { asArray, asObject, asString, asStringMap, asStrings, type JsonObject, optional } from '#lib/oci';
import type { Healthcheck } from '../dockerfile/instructions.ts';

export interface HistoryEntry {
  /** As the base has it, or RFC 3339. */
  readonly created: string;
  readonly createdBy: string;
  readonly comment: string;
  readonly emptyLayer: boolean;
}

export interface BuildConfig {
  readonly user: string;
  readonly env: readonly string[];
  /** null: none, as opposed to an empty one. */
  readonly entrypoint: readonly string[] | undefined;
  readonly cmd: readonly string[] | undefined;
  readonly workingDir: string;
  readonly shell: readonly string[] | undefined;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string;
  readonly healthcheck: Healthcheck | undefined;
  readonly onBuild: readonly string[];
  readonly author: string;
  /** Of `config`, as the base has them. */
  readonly others: JsonObject;
}

export const EMPTY_CONFIG: BuildConfig = {
  user: '',
  env: [],
  entrypoint: undefined,
  cmd: undefined,
  workingDir: '',
  shell: undefined,
  exposedPorts: [],
  volumes: [],
  labels: {},
  stopSignal: '',
  healthcheck: undefined,
  onBuild: [],
  author: '',
  others: {},
};

const KNOWN: ReadonlySet<string> = new Set([
  ...['User', 'Env', 'Entrypoint', 'Cmd', 'WorkingDir', 'Shell', 'ExposedPorts', 'Volumes', 'Labels', 'StopSignal'],
  ...['Healthcheck', 'OnBuild'],
]);
const NS_PER_MS = 1_000_000;

/** Of a base image's config document. Throws Invalid that names the field. */
export function readBuildConfig(doc: JsonObject): BuildConfig {
  const run = optional(doc['config'], asObject, 'config.config') ?? {};
  const text = (key: string): string => optional(run[key], asString, `config.${key}`) ?? '';
  const list = (key: string): readonly string[] | undefined => optional(run[key], asStrings, `config.${key}`);
  const keys = (key: string): readonly string[] => Object.keys(optional(run[key], asObject, `config.${key}`) ?? {});
  return {
    user: text('User'),
    env: list('Env') ?? [],
    entrypoint: list('Entrypoint'),
    cmd: list('Cmd'),
    workingDir: text('WorkingDir'),
    shell: list('Shell'),
    exposedPorts: keys('ExposedPorts'),
    volumes: keys('Volumes'),
    labels: optional(run['Labels'], asStringMap, 'config.Labels') ?? {},
    stopSignal: text('StopSignal'),
    healthcheck: optional(run['Healthcheck'], readHealthcheck, 'config.Healthcheck'),
    onBuild: list('OnBuild') ?? [],
    author: optional(doc['author'], asString, 'author') ?? '',
    others: Object.fromEntries(Object.entries(run).filter(([key]) => !KNOWN.has(key))),
  };
}

export function readHistory(doc: JsonObject): readonly HistoryEntry[] {
  return (optional(doc['history'], asArray, 'history') ?? []).map((value, i) => {
    const e = asObject(value, `history[${i}]`);
    return {
      created: optional(e['created'], asString, `history[${i}].created`) ?? '',
      createdBy: optional(e['created_by'], asString, `history[${i}].created_by`) ?? '',
      comment: optional(e['comment'], asString, `history[${i}].comment`) ?? '',
      emptyLayer: e['empty_layer'] === true,
    };
  });
}

/** The document, its keys in a fixed order: the same image has the same bytes. */
export function configDocument(o: {
  readonly config: BuildConfig;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string | undefined };
  readonly createdMs: number;
  readonly diffIds: readonly string[];
  readonly history: readonly HistoryEntry[];
}): object {
  const { config: c, platform } = o;
  return {
    created: timeText(o.createdMs),
    ...(c.author !== '' && { author: c.author }),
    architecture: platform.architecture,
    ...(platform.variant !== undefined && { variant: platform.variant }),
    os: platform.os,
    config: runDocument(c),
    rootfs: { type: 'layers', diff_ids: o.diffIds },
    history: o.history.map((h) => ({
      ...(h.created !== '' && { created: h.created }),
      created_by: h.createdBy,
      ...(h.comment !== '' && { comment: h.comment }),
      ...(h.emptyLayer && { empty_layer: true }),
    })),
  };
}

function runDocument(c: BuildConfig): object {
  const set = (keys: readonly string[]): object => Object.fromEntries([...keys].sort().map((k) => [k, {}]));
  return {
    ...c.others,
    ...(c.user !== '' && { User: c.user }),
    ...(c.exposedPorts.length > 0 && { ExposedPorts: set(c.exposedPorts) }),
    ...(c.env.length > 0 && { Env: c.env }),
    ...(c.entrypoint !== undefined && { Entrypoint: c.entrypoint }),
    ...(c.cmd !== undefined && { Cmd: c.cmd }),
    ...(c.healthcheck !== undefined && { Healthcheck: healthcheckDocument(c.healthcheck) }),
    ...(c.volumes.length > 0 && { Volumes: set(c.volumes) }),
    ...(c.workingDir !== '' && { WorkingDir: c.workingDir }),
    ...(c.onBuild.length > 0 && { OnBuild: c.onBuild }),
    ...(Object.keys(c.labels).length > 0 && { Labels: Object.fromEntries(Object.entries(c.labels).sort(byKey)) }),
    ...(c.stopSignal !== '' && { StopSignal: c.stopSignal }),
    ...(c.shell !== undefined && { Shell: c.shell }),
  };
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

function readHealthcheck(value: unknown, what: string): Healthcheck {
  const h = asObject(value, what);
  const number = (key: string): number => {
    const n = h[key];
    return typeof n === 'number' && Number.isFinite(n) && n >= 0 ? n : 0;
  };
  return {
    test: optional(h['Test'], asStrings, `${what}.Test`) ?? [],
    intervalMs: number('Interval') / NS_PER_MS,
    timeoutMs: number('Timeout') / NS_PER_MS,
    startPeriodMs: number('StartPeriod') / NS_PER_MS,
    startIntervalMs: number('StartInterval') / NS_PER_MS,
    retries: number('Retries'),
  };
}

function healthcheckDocument(h: Healthcheck): object {
  const ns = (key: string, ms: number): object => (ms > 0 ? { [key]: Math.round(ms * NS_PER_MS) } : {});
  return {
    Test: h.test,
    ...ns('Interval', h.intervalMs),
    ...ns('Timeout', h.timeoutMs),
    ...ns('StartPeriod', h.startPeriodMs),
    ...ns('StartInterval', h.startIntervalMs),
    ...(h.retries > 0 && { Retries: h.retries }),
  };
}
