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
import { loadDescriptions } from './descriptions/index.ts';
import { pathsOf } from './operations.ts';
import { type RootDocument, rootDocuments } from './root-paths.ts';
import { componentsOf, type Schema } from './schemas.ts';
import { swaggerOf } from './swagger.ts';
import { swaggerProtobufOf } from './swagger-protobuf.ts';

export interface OpenApi {
  /** /openapi/v3 */
  index(): object;
  /** /openapi/v3/{path}, path being `api/v1` or `apis/apps/v1`; `hash` is the right value of ?hash=. */
  document(path: string): { readonly bytes: Buffer; readonly hash: string } | undefined;
  /** /openapi/v2 as JSON. */
  v2(): { readonly bytes: Buffer; readonly hash: string };
  /** /openapi/v2 as protobuf (see swagger-protobuf.ts). */
  v2Protobuf(): { readonly bytes: Buffer; readonly hash: string };
}

/** What components of custom kinds refer to. */
const CUSTOM_ROOTS: readonly TypeName[] = ['meta/v1.ObjectMeta', 'meta/v1.ListMeta'];

/** Raise it when a change here changes the documents: clients keep a document for a year by its hash. */
const FORMAT = 3;

/** `version` is the version the server claims. A changed list of kinds means a new OpenApi. */
export function openApiOf(kinds: readonly KindInfo[], version: string): OpenApi {
  const groups = new Map<string, KindInfo[]>();
  for (const kind of kinds) {
    const path = kind.group === '' ? `api/${kind.version}` : `apis/${apiVersionOf(kind)}`;
    const list = groups.get(path) ?? [];
    list.push(kind);
    groups.set(path, list);
  }
  const roots = rootDocuments([...new Set(kinds.map((k) => k.group).filter((g) => g !== ''))]);
  const memo = new Map<string, { bytes: Buffer; hash: string }>();
  const keep = (key: string, make: () => { bytes: Buffer; hash: string }): { bytes: Buffer; hash: string } => {
    const made = memo.get(key) ?? make();
    memo.set(key, made);
    return made;
  };
  const facts = createHash('sha256').update(`${FORMAT} ${version} `).update(TYPES_JSON).digest('hex');
  const hashOf = (path: string, list: readonly KindInfo[]): string =>
    createHash('sha512')
      .update(`${facts} ${path} ${JSON.stringify(list.map(identityOf))}`)
      .digest('hex')
      .toUpperCase();
  const json = (document: object): Buffer => Buffer.from(JSON.stringify(document));
  const v2 = (): { bytes: Buffer; hash: string } =>
    keep('v2', () => {
      const document = documentOf({ kinds, roots: [...roots.values()], version });
      const custom = kinds.map((k) => k.custom?.openApi('v2') ?? {});
      return { bytes: json(swaggerOf(document, Object.assign({}, ...custom))), hash: hashOf('v2', kinds) };
    });
  const paths = (): string[] => [...roots.keys(), ...groups.keys()].sort();
  return {
    index: () => ({
      paths: Object.fromEntries(
        paths().map((path) => [
          path,
          { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(path, groups.get(path) ?? [])}` },
        ]),
      ),
    }),
    document: (path) => {
      const list = groups.get(path);
      const root = roots.get(path);
      if (list === undefined && root === undefined) return undefined;
      return keep(path, () => ({
        bytes: json(documentOf({ kinds: list ?? [], roots: root === undefined ? [] : [root], version })),
        hash: hashOf(path, list ?? []),
      }));
    },
    v2,
    v2Protobuf: () => keep('v2.pb', () => swaggerProtobufOf(v2())),
  };
}

function identityOf(kind: KindInfo): object {
  return { ...kind, custom: kind.custom?.source };
}

interface DocumentParts {
  readonly kinds: readonly KindInfo[];
  readonly roots: readonly RootDocument[];
  readonly version: string;
}

function documentOf({ kinds, roots, version }: DocumentParts): Schema & { paths: Record<string, Schema> } {
  const texts = loadDescriptions();
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
    if (kind.custom === undefined) find(kind.group, kind.version, kind.kind);
    find(kind.group, kind.version, 'DeleteOptions');
    find(kind.group, kind.version, 'WatchEvent');
  }
  if (kinds.length > 0) for (const kind of ['Status', 'APIResourceList']) find('', 'v1', kind);
  const paths = pathsOf(kinds, { schemaOf: find, texts });
  for (const root of roots) Object.assign(paths, root.paths);
  for (const type of roots.flatMap((r) => r.types)) find('', 'v1', type.slice(type.lastIndexOf('.') + 1));
  const isCustom = kinds.some((k) => k.custom !== undefined);
  const components = componentsOf([...gvks.keys(), ...(isCustom ? CUSTOM_ROOTS : [])], { gvks, texts });
  if (kinds.length > 0)
    components['io.k8s.apimachinery.pkg.apis.meta.v1.Patch'] = {
      description: 'A patch; its Content-Type says of which form.',
      type: 'object',
    };
  for (const root of roots) Object.assign(components, root.components);
  for (const { custom } of kinds) if (custom !== undefined) Object.assign(components, custom.openApi('v3'));
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version },
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        BearerToken: { type: 'apiKey', description: 'Bearer token.', name: 'authorization', in: 'header' },
      },
    },
  };
}
