/**
 * OpenAPI of the paths that say what there is: /api, /apis, /apis/{group} and /version. They belong to no group version; in
 * v3 each has a document of its own, in v2 they stand beside the rest.
 * Source: kubernetes api/openapi-spec/v3 (api__openapi.json, apis__openapi.json, version_openapi.json).
 */
import type { TypeName } from '../type-table.ts';
import { refTo, type Schema } from './schemas.ts';

export interface RootDocument {
  readonly paths: Readonly<Record<string, Schema>>;
  readonly types: readonly TypeName[];
  /** Components that are in no type table. */
  readonly components: Readonly<Record<string, Schema>>;
}

const TYPES = ['application/json', 'application/yaml'];
const VERSION_INFO = 'io.k8s.apimachinery.pkg.version.Info';

/** By the path of the v3 document: `api`, `apis`, `apis/apps`, `version`. `groups`: without the core group. */
export function rootDocuments(groups: readonly string[]): ReadonlyMap<string, RootDocument> {
  return new Map([
    ['api', ofType('/api/', 'meta/v1.APIVersions', { tag: 'core', operationId: 'getCoreAPIVersions' })],
    ['apis', ofType('/apis/', 'meta/v1.APIGroupList', { tag: 'apis', operationId: 'getAPIVersions' })],
    ...groups.map((group): [string, RootDocument] => {
      const words = group.replace(/\.k8s\.io$/, '').split(/[.-]/);
      const [first = '', ...more] = words;
      const names = {
        tag: `${first}${more.map(capital).join('')}`,
        operationId: `get${words.map(capital).join('')}APIGroup`,
      };
      return [`apis/${group}`, ofType(`/apis/${group}/`, 'meta/v1.APIGroup', names)];
    }),
    ['version', versionDocument()],
  ]);
}

interface OperationNames {
  readonly tag: string;
  readonly operationId: string;
}

function ofType(path: string, type: TypeName, names: OperationNames): RootDocument {
  return { paths: { [path]: { get: operation(names, refTo(type), TYPES) } }, types: [type], components: {} };
}

function operation({ tag, operationId }: OperationNames, schema: Schema, types: readonly string[]): Schema {
  const content = Object.fromEntries(types.map((type) => [type, { schema }]));
  return {
    tags: [tag],
    operationId,
    responses: { 200: { description: 'OK', content }, 401: { description: 'Unauthorized' } },
  };
}

function versionDocument(): RootDocument {
  const texts = {
    major: 'Major version, digits only.',
    minor: 'Minor version, digits only.',
    gitVersion: 'Full version.',
    gitCommit: 'Commit it was built from.',
    gitTreeState: 'Whether the checkout was clean.',
    buildDate: 'When it was built.',
    goVersion: 'Version of the language it runs on.',
    compiler: 'How it was compiled.',
    platform: 'Operating system and architecture.',
  };
  const properties = Object.entries(texts).map(([name, description]) => [
    name,
    { type: 'string', description, default: '' },
  ]);
  const names = { tag: 'version', operationId: 'getCodeVersion' };
  return {
    paths: {
      '/version/': { get: operation(names, { $ref: `#/components/schemas/${VERSION_INFO}` }, ['application/json']) },
    },
    types: [],
    components: {
      [VERSION_INFO]: {
        type: 'object',
        description: 'What the server is.',
        required: Object.keys(texts),
        properties: Object.fromEntries(properties),
      },
    },
  };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
