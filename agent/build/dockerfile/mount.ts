/** `RUN --mount=key=value,…`. Source: Dockerfile reference, "RUN --mount". Pure. */
import { invalid } from './error.ts';
import { parseBytes } from './sizes.ts';
import { didYouMean } from './suggest.ts';

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const SHARINGS = ['shared', 'private', 'locked'] as const;
const KEYS = [
  'type',
  'from',
  'source',
  'src',
  'target',
  'dst',
  'destination',
  'readonly',
  'ro',
  'readwrite',
  'rw',
  'id',
  'sharing',
  'required',
  'size',
  'mode',
  'uid',
  'gid',
  'env',
];

export type MountType = (typeof TYPES)[number];
export type CacheSharing = (typeof SHARINGS)[number];

export interface RunMount {
  readonly type: MountType;
  /** Stage, named context or image; undefined: the build's context. */
  readonly from: string | undefined;
  readonly source: string | undefined;
  readonly target: string | undefined;
  readonly readOnly: boolean;
  readonly id: string | undefined;
  readonly sharing: CacheSharing;
  readonly required: boolean;
  /** Of a tmpfs; undefined: as much as memory allows. */
  readonly sizeBytes: number | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Of a secret: the variable that holds it; with a target both. */
  readonly env: string | undefined;
}

type Draft = { -readonly [K in keyof RunMount]?: RunMount[K] };

/** `expand` puts variables into values. Throws Invalid. */
export function parseMount(value: string, expand: (text: string) => string): RunMount {
  const draft: Draft = {};
  for (const field of csvFields(value)) {
    const at = field.indexOf('=');
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    if (key === 'from' && at >= 0) draft.from = literal(field.slice(at + 1));
    else setField(draft, key, at < 0 ? undefined : expand(field.slice(at + 1)), field);
  }
  return checked({ ...draft, type: draft.type ?? 'bind' });
}

function setField(draft: Draft, key: string, value: string | undefined, field: string): void {
  switch (key) {
    case 'readonly':
    case 'ro':
      draft.readOnly = truth(key, value);
      return;
    case 'readwrite':
    case 'rw':
      draft.readOnly = !truth(key, value);
      return;
    case 'required':
      if (draft.type !== 'secret' && draft.type !== 'ssh') throw unexpected(key, draft.type);
      draft.required = truth(key, value);
      return;
  }
  if (!KEYS.includes(key)) throw invalid(`unexpected key '${key}' in '${field}'${didYouMean(key, KEYS)}`);
  if (value === undefined) throw invalid(`invalid field '${field}' must be a key=value pair`);
  setValue(draft, key, value);
}

function setValue(draft: Draft, key: string, value: string): void {
  switch (key) {
    case 'type':
      draft.type = oneOf(TYPES, value, 'mount type');
      return;
    case 'sharing':
      draft.sharing = oneOf(SHARINGS, value, 'sharing value');
      return;
    case 'source':
    case 'src':
      draft.source = value;
      return;
    case 'id':
    case 'env':
      draft[key] = value;
      return;
    case 'size':
      if (draft.type !== 'tmpfs') throw unexpected(key, draft.type);
      draft.sizeBytes = parseBytes(value);
      if (draft.sizeBytes === undefined) throw invalid(`invalid value for ${key}: ${value}`);
      return;
    case 'mode':
      if (!/^[0-7]{1,11}$/.test(value)) throw invalid(`invalid value ${value} for mode`);
      draft.mode = Number.parseInt(value, 8);
      return;
    case 'uid':
    case 'gid':
      if (!/^\d{1,10}$/.test(value) || Number(value) > 0xffff_ffff) throw invalid(`invalid value ${value} for ${key}`);
      draft[key] = Number(value);
      return;
    default:
      draft.target = value;
  }
}

function checked(d: Draft & { type: MountType }): RunMount {
  const { type } = d;
  if (type === 'bind' || type === 'tmpfs')
    for (const key of ['mode', 'uid', 'gid'] as const)
      if (d[key] !== undefined) throw invalid(`${key} not allowed for "${type}" type mounts`);
  if (type === 'secret') {
    if (d.from !== undefined) throw invalid('secret mount should not have a from');
    if (d.sharing !== undefined) throw invalid('secret mount should not define sharing');
    if (d.source === undefined && d.target === undefined && d.id === undefined)
      throw invalid('invalid secret mount. one of source, target required');
    if (d.source !== undefined && d.id !== undefined) throw invalid("both source and id can't be set");
  }
  if (d.sharing !== undefined && type !== 'cache') throw invalid(`invalid cache sharing set for ${type} mount`);
  return {
    type,
    from: d.from,
    source: d.source,
    target: d.target,
    readOnly: d.readOnly ?? (type !== 'cache' && type !== 'tmpfs'),
    id: d.id,
    sharing: d.sharing ?? 'shared',
    required: d.required ?? false,
    sizeBytes: d.sizeBytes,
    mode: d.mode,
    uid: d.uid,
    gid: d.gid,
    env: d.env,
  };
}

function literal(from: string): string {
  const at = from.indexOf('$');
  if (at >= 0 && at !== from.length - 1)
    throw invalid("'from' doesn't support variable expansion, define alias stage instead");
  return from;
}

function truth(key: string, value: string | undefined): boolean {
  if (value === undefined || ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw invalid(`invalid value for ${key}: ${value}`);
}

function oneOf<T extends string>(allowed: readonly T[], value: string, what: string): T {
  const found = allowed.find((a) => a === value.toLowerCase());
  if (found === undefined) throw invalid(`unsupported ${what} "${value}"${didYouMean(value, allowed)}`);
  return found;
}

function unexpected(key: string, type: MountType | undefined): Error {
  return invalid(`unexpected key '${key}' for mount type '${type ?? 'bind'}'`);
}

/** One record of RFC 4180: a field in quotes may hold commas, and quotes doubled. */
function csvFields(text: string): readonly string[] {
  const out: string[] = [];
  let at = 0;
  for (;;) {
    const quoted = /^"((?:[^"]|"")*)"(?=,|$)/.exec(text.slice(at));
    if (quoted !== null) {
      out.push((quoted[1] ?? '').replaceAll('""', '"'));
      at += quoted[0].length;
    } else {
      const end = text.indexOf(',', at);
      const field = text.slice(at, end < 0 ? undefined : end);
      if (field.includes('"')) throw invalid(`failed to parse csv mounts: bare " in ${field}`);
      out.push(field);
      at += field.length;
    }
    if (at >= text.length) return out;
    at++;
  }
}
