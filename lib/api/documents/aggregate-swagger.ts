/**
 * OpenAPI v2 of a server that has others behind it: the paths of each remote group version and the definitions they need,
 * beside our own. A definition of one name and another content is renamed, and so is who refers to it.
 * Source: k8s.io/kube-openapi/pkg/aggregator/aggregator.go (MergeSpecs, FilterSpecByPaths).
 */
import { createHash } from 'node:crypto';
import { isObject, setOwn } from '../patch/value.ts';
import { madeOnce, type OpenApi, type OpenApiDocument } from './openapi.ts';
import { swaggerProtobufOf } from './swagger-protobuf.ts';

export interface SwaggerPart {
  readonly paths: Readonly<Record<string, unknown>>;
  readonly definitions: Readonly<Record<string, unknown>>;
}

/** What is known of the documents of a group version that is served elsewhere. */
export interface RemoteOpenApi {
  /** `apis/GROUP/VERSION` */
  readonly path: string;
  /** Of its OpenAPI v3 document. */
  readonly url: string | undefined;
  readonly swagger: SwaggerPart | undefined;
}

/** Documents of remote group versions are asked of their servers: only the index of v3, and v2, speak of them. */
export function aggregateOpenApi(local: OpenApi, remotes: readonly RemoteOpenApi[]): OpenApi {
  const parts = remotes.map((r) => r.swagger).filter((s) => s !== undefined);
  const v2 = parts.length === 0 ? local.v2() : mergedDocument(local, parts);
  const v2Protobuf =
    parts.length === 0 ? local.v2Protobuf() : madeOnce(`${v2.hash}PB`, async () => swaggerProtobufOf(await v2.bytes()));
  return {
    document: (path) => local.document(path),
    v2Protobuf: () => v2Protobuf,
    index: () => {
      const added = remotes.flatMap((r) =>
        r.url === undefined ? [] : [[r.path, { serverRelativeURL: r.url }] as const],
      );
      return { paths: { ...local.index().paths, ...Object.fromEntries(added) } };
    },
    v2: () => v2,
  };
}

/** The hash needs no document: it is one of what the document is made of. */
function mergedDocument(local: OpenApi, parts: readonly SwaggerPart[]): OpenApiDocument {
  const ours = local.v2();
  const hash = createHash('sha512')
    .update(`${ours.hash} ${JSON.stringify(parts)}`)
    .digest('hex')
    .toUpperCase();
  return madeOnce(hash, async () => {
    const bytes = await ours.bytes();
    const base: unknown = JSON.parse(bytes.toString());
    if (!isObject(base)) return bytes;
    const { paths, definitions } = base;
    const own = { paths: isObject(paths) ? paths : {}, definitions: isObject(definitions) ? definitions : {} };
    return Buffer.from(JSON.stringify({ ...base, ...mergeSwagger(own, parts) }));
  });
}

const REF = '#/definitions/';
/** Nesting of a document from elsewhere: more is not looked at. */
const DEPTH_MAX = 100;
const RENAMES_MAX = 100;

/** What a remote document says of `/apis/GROUP/VERSION`; undefined for what is no such document. */
export function remoteSwagger(document: unknown, prefix: string): SwaggerPart | undefined {
  if (!isObject(document) || document['swagger'] !== '2.0' || !isObject(document['paths'])) return undefined;
  const all = isObject(document['definitions']) ? document['definitions'] : {};
  const paths = Object.fromEntries(
    Object.entries(document['paths']).filter(([path]) => path === prefix || path.startsWith(`${prefix}/`)),
  );
  const needed = new Set<string>();
  const queue: unknown[] = [paths];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const name of refsOf(next)) {
      if (needed.has(name) || !Object.hasOwn(all, name)) continue;
      needed.add(name);
      queue.push(all[name]);
    }
  }
  return { paths, definitions: Object.fromEntries([...needed].sort().map((name) => [name, all[name]])) };
}

/** `base` with the parts added. Paths that are there already stay as they are. */
export function mergeSwagger(base: SwaggerPart, parts: readonly SwaggerPart[]): SwaggerPart {
  const paths: Record<string, unknown> = { ...base.paths };
  const definitions: Record<string, unknown> = { ...base.definitions };
  for (const part of parts) {
    const names = namesIn(definitions, part.definitions);
    for (const [name, value] of Object.entries(part.definitions)) {
      const known = names.get(name) ?? name;
      if (!Object.hasOwn(definitions, known)) setOwn(definitions, known, renamed(value, names, 0));
    }
    for (const [path, value] of Object.entries(part.paths))
      if (!Object.hasOwn(paths, path)) setOwn(paths, path, renamed(value, names, 0));
  }
  return { paths, definitions };
}

function namesIn(
  known: Readonly<Record<string, unknown>>,
  added: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const [name, value] of Object.entries(added)) {
    let candidate = name;
    for (let n = 2; n < RENAMES_MAX && Object.hasOwn(known, candidate); n++) {
      if (JSON.stringify(known[candidate]) === JSON.stringify(value)) break;
      candidate = `${name}_v${n}`;
    }
    if (candidate !== name) names.set(name, candidate);
  }
  return names;
}

function refsOf(value: unknown): readonly string[] {
  const out: string[] = [];
  const visit = (v: unknown, depth: number): void => {
    if (depth > DEPTH_MAX) return;
    if (Array.isArray(v)) for (const item of v) visit(item, depth + 1);
    else if (isObject(v)) {
      const ref = v['$ref'];
      if (typeof ref === 'string' && ref.startsWith(REF)) out.push(ref.slice(REF.length));
      for (const item of Object.values(v)) visit(item, depth + 1);
    }
  };
  visit(value, 0);
  return out;
}

function renamed(value: unknown, names: ReadonlyMap<string, string>, depth: number): unknown {
  if (names.size === 0 || depth > DEPTH_MAX) return value;
  if (Array.isArray(value)) return value.map((v) => renamed(v, names, depth + 1));
  if (!isObject(value)) return value;
  const out = Object.entries(value).map(([key, v]): [string, unknown] => {
    const to = key === '$ref' && typeof v === 'string' ? names.get(v.slice(REF.length)) : undefined;
    return [key, to === undefined ? renamed(v, names, depth + 1) : `${REF}${to}`];
  });
  return Object.fromEntries(out);
}
