/**
 * OpenAPI documents: v3 as an index and one document per group version, v2 as one document, all made from the field table.
 *
 * Idea: a document is a few hundred kB; it is made when its bytes are first asked for and kept. The hash must not need the
 * document (the index and a 304 answer have it too), so it is a digest of what documents are made of: the fact table, the
 * kinds, the program's version, and FORMAT for what is written by hand.
 * Source: k8s.io/kube-openapi/pkg/handler3; kubernetes KEP-2896.
 */
import { createHash } from 'node:crypto';
import { TYPES_JSON } from '../gen/table.ts';
import { apiVersionOf } from '../object.ts';
import { type KindInfo, schemaOf } from '../registry.ts';
import type { TypeName } from '../type-table.ts';
import { pathsOf } from './operations.ts';
import { type RootDocument, rootDocuments } from './root-paths.ts';
import { componentsOf, type Schema } from './schemas.ts';
import { swaggerOf } from './swagger.ts';
import { swaggerProtobufOf } from './swagger-protobuf.ts';

/** A document that is made when its bytes are asked for; its hash costs nothing. */
export interface OpenApiDocument {
  /** What ?hash= and the ETag say; equal hashes, equal bytes. */
  readonly hash: string;
  /** Made once and kept. */
  bytes(): Promise<Buffer>;
}

export interface OpenApi {
  /** /openapi/v3 */
  index(): OpenApiIndex;
  /** /openapi/v3/{path}, path being `api/v1`, `apis/apps/v1`, or one of root-paths.ts. */
  document(path: string): OpenApiDocument | undefined;
  /** /openapi/v2 as JSON. */
  v2(): OpenApiDocument;
  /** /openapi/v2 as protobuf (see swagger-protobuf.ts). */
  v2Protobuf(): OpenApiDocument;
}

export interface OpenApiIndex {
  readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>>;
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
  const facts = createHash('sha256').update(`${FORMAT} ${version} `).update(TYPES_JSON).digest('hex');
  const hashOf = (path: string, list: readonly KindInfo[]): string =>
    createHash('sha512')
      .update(`${facts} ${path} ${JSON.stringify(list.map(identityOf))}`)
      .digest('hex')
      .toUpperCase();
  const v3 = new Map<string, OpenApiDocument>();
  for (const path of [...roots.keys(), ...groups.keys()].sort()) {
    const list = groups.get(path) ?? [];
    const root = roots.get(path);
    const parts = { kinds: list, roots: root === undefined ? [] : [root], version };
    v3.set(
      path,
      madeOnce(hashOf(path, list), async () =>
        json(await documentOf({ ...parts, custom: list.map((k) => k.custom?.openApi('v3') ?? {}) })),
      ),
    );
  }
  const v2 = madeOnce(hashOf('v2', kinds), async () => {
    const custom = kinds.map((k) => k.custom?.openApi('v2') ?? {});
    const document = await documentOf({ kinds, roots: [...roots.values()], version, custom: [] });
    return json(swaggerOf(document, Object.assign({}, ...custom)));
  });
  const v2Protobuf = madeOnce(`${v2.hash}PB`, async () => swaggerProtobufOf(await v2.bytes()));
  return {
    index: () => ({
      paths: Object.fromEntries(
        [...v3].map(([path, { hash }]) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }]),
      ),
    }),
    document: (path) => v3.get(path),
    v2: () => v2,
    v2Protobuf: () => v2Protobuf,
  };
}

function identityOf(kind: KindInfo): object {
  return { ...kind, custom: kind.custom?.digest };
}

/** Who asks while it is being made waits for the same bytes; a failure is not kept. */
export function madeOnce(hash: string, make: () => Promise<Buffer>): OpenApiDocument {
  let made: Promise<Buffer> | undefined;
  const start = async (): Promise<Buffer> => {
    try {
      return await make();
    } catch (e) {
      made = undefined;
      throw e;
    }
  };
  return {
    hash,
    bytes: () => {
      made ??= start();
      return made;
    },
  };
}

function json(document: object): Buffer {
  return Buffer.from(JSON.stringify(document));
}

interface DocumentParts {
  readonly kinds: readonly KindInfo[];
  readonly roots: readonly RootDocument[];
  readonly version: string;
  /** Components of custom kinds. */
  readonly custom: readonly Schema[];
}

/** The texts are a module of their own, so that a process whose documents nobody reads never loads them. */
async function documentOf({ kinds, roots, version, custom }: DocumentParts): Promise<Schema> {
  const { loadDescriptions } = await import('./descriptions/index.ts');
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
  for (const added of custom) Object.assign(components, added);
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
