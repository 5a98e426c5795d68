/**
 * OpenAPI documents: v3 as an index and one document per group version, v2 as one document, all made from the field table.
 *
 * Idea: a document is a few hundred kB; it is made when first asked for and kept as bytes. The hash in the index must not
 * need the documents, so it is a digest of what they are made of: the fact table, the kinds, the program's version.
 * Source: k8s.io/kube-openapi/pkg/handler3; kubernetes KEP-2896.
 */
import { createHash } from 'node:crypto';
import { TYPES_JSON } from '../gen/table.ts';
import { apiVersionOf } from '../object.ts';
import { type KindInfo, schemaOf } from '../registry.ts';
import type { TypeName } from '../type-table.ts';
import { pathsOf } from './operations.ts';
import { componentsOf, type Schema } from './schemas.ts';
import { swaggerOf } from './swagger.ts';
import { swaggerHeadProtobuf } from './swagger-protobuf.ts';

export interface OpenApi {
  /** /openapi/v3 */
  index(): OpenApiIndex;
  /** /openapi/v3/{path}, path being `api/v1` or `apis/apps/v1`; `hash` is the right value of ?hash=. */
  document(path: string): { readonly bytes: Buffer; readonly hash: string } | undefined;
  /** /openapi/v2 as JSON. */
  v2(): { readonly bytes: Buffer; readonly hash: string };
  /** /openapi/v2 as protobuf: its head only (see swagger-protobuf.ts). */
  v2Head(): Buffer;
}

export interface OpenApiIndex {
  readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>>;
}

/** Raise it when a change here changes the documents: clients keep a document for a year by its hash. */
const FORMAT = 2;

/** `version` is the version the server claims. A changed list of kinds means a new OpenApi. */
export function openApiOf(kinds: readonly KindInfo[], version: string): OpenApi {
  const groups = new Map<string, KindInfo[]>();
  for (const kind of kinds) {
    const path = kind.group === '' ? `api/${kind.version}` : `apis/${apiVersionOf(kind)}`;
    const list = groups.get(path) ?? [];
    list.push(kind);
    groups.set(path, list);
  }
  const memo = new Map<string, { bytes: Buffer; hash: string }>();
  const keep = (key: string, hash: string, make: () => object): { bytes: Buffer; hash: string } => {
    const made = memo.get(key) ?? { bytes: Buffer.from(JSON.stringify(make())), hash };
    memo.set(key, made);
    return made;
  };
  const facts = createHash('sha256').update(`${FORMAT} ${version} `).update(TYPES_JSON).digest('hex');
  const hashOf = (path: string, list: readonly KindInfo[]): string =>
    createHash('sha512')
      .update(`${facts} ${path} ${JSON.stringify(list)}`)
      .digest('hex')
      .toUpperCase();
  return {
    index: () => ({
      paths: Object.fromEntries(
        [...groups].map(([path, list]) => [
          path,
          { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(path, list)}` },
        ]),
      ),
    }),
    document: (path) => {
      const list = groups.get(path);
      return list && keep(path, hashOf(path, list), () => documentOf(list, version));
    },
    v2: () => keep('v2', hashOf('v2', kinds), () => swaggerOf(documentOf(kinds, version))),
    v2Head: () => swaggerHeadProtobuf('Kubernetes', version),
  };
}

function documentOf(kinds: readonly KindInfo[], version: string): Schema & { paths: Record<string, Schema> } {
  const gvks = new Map<TypeName, { group: string; version: string; kind: string }[]>();
  const find = (group: string, ver: string, kind: string): TypeName | undefined => {
    const name = schemaOf(group === '' ? ver : `${group}/${ver}`, kind);
    if (name === undefined) return undefined;
    const known = gvks.get(name) ?? [];
    if (!known.some((k) => k.group === group && k.version === ver && k.kind === kind))
      known.push({ group, version: ver, kind });
    gvks.set(name, known);
    return name;
  };
  for (const kind of kinds) {
    find(kind.group, kind.version, kind.kind);
    find(kind.group, kind.version, 'DeleteOptions');
    find(kind.group, kind.version, 'WatchEvent');
  }
  find('', 'v1', 'Status');
  const paths = pathsOf(kinds, find);
  const components = componentsOf(gvks.keys(), gvks);
  components['io.k8s.apimachinery.pkg.apis.meta.v1.Patch'] = { type: 'object' };
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version },
    paths,
    components: {
      schemas: components,
      securitySchemes: { BearerToken: { type: 'apiKey', in: 'header', name: 'authorization' } },
    },
  };
}
