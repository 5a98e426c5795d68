import { describe, expect, test } from 'vitest';
import { isObject } from '../patch/value.ts';
import { allKinds } from '../registry.ts';
import { discoveryOf } from './discovery.ts';
import { openApiOf } from './openapi.ts';

type Json = { [key: string]: unknown };

/** Walks into a JSON value; fails where there is nothing. */
function at(value: unknown, ...steps: string[]): unknown {
  return steps.reduce((v, step) => {
    if (!isObject(v) || !(step in v)) throw new Error(`nothing at ${step} of ${steps.join('/')}`);
    return v[step];
  }, value);
}

function refsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(refsOf);
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, v]) => (key === '$ref' && typeof v === 'string' ? [v] : refsOf(v)));
}

describe('discoveryOf', () => {
  const discovery = discoveryOf(allKinds());

  test('groups in the order that clients resolve names by, each with a preferred version', () => {
    const { groups } = discovery.apiGroupList() as {
      groups: { name: string; versions: Json[]; preferredVersion: Json }[];
    };
    expect(groups.slice(0, 6).map((g) => g.name)).toEqual([
      'apiregistration.k8s.io',
      'apps',
      'events.k8s.io',
      'authentication.k8s.io',
      'authorization.k8s.io',
      'autoscaling',
    ]);
    for (const g of groups) expect(g.versions).toContainEqual(g.preferredVersion);
    expect(discovery.apiGroup('autoscaling')).toMatchObject({ preferredVersion: { groupVersion: 'autoscaling/v2' } });
    expect(discovery.apiGroup('')).toBeUndefined();
    expect(discovery.apiGroup('nothing')).toBeUndefined();
  });

  test('a resource list has subresources with their own verbs, and the group of foreign kinds', () => {
    const list = discovery.apiResourceList('apps', 'v1') as { resources: Json[] };
    expect(list.resources).toContainEqual(
      expect.objectContaining({
        name: 'deployments',
        singularName: 'deployment',
        namespaced: true,
        kind: 'Deployment',
        shortNames: ['deploy'],
        categories: ['all'],
      }),
    );
    expect(list.resources).toContainEqual({
      name: 'deployments/scale',
      singularName: '',
      namespaced: true,
      group: 'autoscaling',
      version: 'v1',
      kind: 'Scale',
      verbs: ['get', 'patch', 'update'],
    });
    expect(list.resources).toContainEqual(
      expect.not.objectContaining({ group: expect.anything(), name: 'deployments/status' }),
    );
    expect(discovery.apiResourceList('apps', 'v2')).toBeUndefined();
  });

  test('aggregated: core alone on /api, all others on /apis, both versions, stable ETags', () => {
    const api = discovery.aggregated('api', 'v2');
    const { items } = api.body as unknown as { items: { metadata: Json; versions: { resources: Json[] }[] }[] };
    expect(items).toHaveLength(1);
    const pods = items[0]?.versions[0]?.resources.find((r) => r['resource'] === 'pods');
    expect(pods).toMatchObject({
      responseKind: { group: '', version: 'v1', kind: 'Pod' },
      scope: 'Namespaced',
      singularResource: 'pod',
      shortNames: ['po'],
    });
    expect(pods?.['subresources']).toContainEqual({
      subresource: 'eviction',
      responseKind: { group: 'policy', version: 'v1', kind: 'Eviction' },
      verbs: ['create'],
    });
    expect(discovery.aggregated('apis', 'v2beta1').body).toMatchObject({ apiVersion: 'apidiscovery.k8s.io/v2beta1' });
    expect(discoveryOf(allKinds()).aggregated('api', 'v2').etag).toBe(api.etag);
    expect(discoveryOf(allKinds().slice(1)).aggregated('api', 'v2').etag).not.toBe(api.etag);
    expect(api.etag).toMatch(/^"[0-9A-F]{128}"$/);
  });
});

describe('openApiOf', async () => {
  const api = openApiOf(allKinds(), 'v1.36.0');
  const { paths } = api.index() as { paths: Record<string, { serverRelativeURL: string }> };
  const jsonOf = async (path: string): Promise<Json> => JSON.parse(String(await api.document(path)?.bytes())) as Json;
  const documents = await Promise.all(Object.keys(paths).map(async (path) => [path, await jsonOf(path)] as const));
  const v2 = JSON.parse(String(await api.v2().bytes())) as Json;

  test('the index names each group version with the hash of its document', () => {
    expect(Object.keys(paths)).toContain('api/v1');
    for (const [path, { serverRelativeURL }] of Object.entries(paths))
      expect(serverRelativeURL).toBe(`/openapi/v3/${path}?hash=${api.document(path)?.hash}`);
    expect(api.document('apis/nothing/v1')).toBeUndefined();
    expect(openApiOf(allKinds(), 'v1.37.0').document('api/v1')?.hash).not.toBe(api.document('api/v1')?.hash);
  });

  test('every reference leads somewhere, in v3 and in v2', () => {
    for (const [, document] of documents)
      for (const ref of new Set(refsOf(document)))
        expect(at(document, ...ref.slice(2).split('/'))).toBeTypeOf('object');
    expect(v2['swagger']).toBe('2.0');
    const names = (schemas: unknown): string[] =>
      Object.keys(
        at(schemas, 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps', 'properties') as Json,
      );
    const crds = documents.find(([path]) => path === 'apis/apiextensions.k8s.io/v1')?.[1];
    expect(names(v2['definitions'])).toEqual(names(at(crds, 'components', 'schemas')));
    for (const ref of new Set(refsOf(v2))) expect(at(v2, ...ref.slice(2).split('/'))).toBeTypeOf('object');
  });

  test('every kind that can be patched says fieldValidation, its GVK and the media types (kubectl --validate, apply)', () => {
    const operations = documents.flatMap(([, d]) =>
      Object.values(at(d, 'paths') as Json).flatMap((item) => Object.values(item as Json)),
    );
    for (const kind of allKinds().filter((k) => k.verbs.includes('patch'))) {
      const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
      const patch = operations.find(
        (o): o is Json =>
          isObject(o) &&
          o['x-kubernetes-action'] === 'patch' &&
          JSON.stringify(o['x-kubernetes-group-version-kind']) === JSON.stringify(gvk),
      );
      expect(at(patch, 'requestBody', 'content')).toHaveProperty('application/strategic-merge-patch+json');
      expect(at(patch, 'parameters')).toContainEqual(expect.objectContaining({ name: 'fieldValidation', in: 'query' }));
    }
  });

  const operationsOf = (path: string): Json => {
    const [, document] = documents.find(([, d]) => isObject(d['paths']) && path in d['paths']) ?? [];
    return at(document, 'paths', path) as Json;
  };
  const named = (o: unknown, ...steps: string[]): string[] => (at(o, ...steps) as Json[]).map((p) => String(p['name']));

  test('each verb has the parameters of its options, each with a type and a description', () => {
    const collection = operationsOf('/api/v1/namespaces/{namespace}/pods');
    const object = operationsOf('/api/v1/namespaces/{namespace}/pods/{name}');
    expect(named(collection, 'get', 'parameters')).toEqual([
      'allowWatchBookmarks',
      'continue',
      'fieldSelector',
      'labelSelector',
      'limit',
      'resourceVersion',
      'resourceVersionMatch',
      'sendInitialEvents',
      'timeoutSeconds',
      'watch',
    ]);
    expect(named(collection, 'post', 'parameters')).toEqual(['dryRun', 'fieldManager', 'fieldValidation']);
    expect(named(collection, 'delete', 'parameters')).toEqual([
      'continue',
      'dryRun',
      'fieldSelector',
      'gracePeriodSeconds',
      'labelSelector',
      'limit',
      'orphanDependents',
      'propagationPolicy',
      'resourceVersion',
      'resourceVersionMatch',
      'sendInitialEvents',
      'timeoutSeconds',
    ]);
    expect(object['get']).not.toHaveProperty('parameters');
    expect(named(object, 'put', 'parameters')).toEqual(['dryRun', 'fieldManager', 'fieldValidation']);
    expect(named(object, 'patch', 'parameters')).toEqual(['dryRun', 'fieldManager', 'fieldValidation', 'force']);
    expect(named(object, 'parameters')).toEqual(['namespace', 'name', 'pretty']);
    const all = documents.flatMap(([, d]) =>
      Object.values(at(d, 'paths') as Json).flatMap((item) =>
        Object.values(item as Json).flatMap((o) => (Array.isArray(o) ? o : isObject(o) ? (o['parameters'] ?? []) : [])),
      ),
    ) as Json[];
    expect(all.length).toBeGreaterThan(1000);
    for (const p of all)
      expect(p, String(p['name'])).toMatchObject({
        description: expect.stringMatching(/.\.$/),
        schema: { uniqueItems: true },
      });
    expect(all).toContainEqual(
      expect.objectContaining({ name: 'limit', schema: { type: 'integer', uniqueItems: true } }),
    );
    expect(all).toContainEqual(
      expect.objectContaining({ name: 'dryRun', schema: { type: 'string', uniqueItems: true } }),
    );
  });

  test('answers: codes by verb, watches of lists, plain text of logs, anything through a proxy', () => {
    const pods = '/api/v1/namespaces/{namespace}/pods';
    const codes = (path: string, method: string): string[] =>
      Object.keys(at(operationsOf(path), method, 'responses') as Json);
    expect(codes(pods, 'post')).toEqual(['200', '201', '202', '401']);
    expect(codes(`${pods}/{name}`, 'put')).toEqual(['200', '201', '401']);
    expect(codes(`${pods}/{name}`, 'delete')).toEqual(['200', '202', '401']);
    expect(at(operationsOf(pods), 'get', 'responses', '200', 'content')).toHaveProperty(
      'application/json;stream=watch',
    );
    const log = operationsOf(`${pods}/{name}/log`);
    expect(at(log, 'get', 'responses', '200', 'content')).toEqual({ 'text/plain': { schema: { type: 'string' } } });
    expect(named(log, 'get', 'parameters')).toContain('tailLines');
    const exec = operationsOf(`${pods}/{name}/exec`);
    expect(Object.keys(exec)).toEqual(['post', 'get', 'parameters']);
    expect(named(exec, 'get', 'parameters')).toEqual(['command', 'container', 'stderr', 'stdin', 'stdout', 'tty']);
    const proxy = operationsOf('/api/v1/namespaces/{namespace}/services/{name}/proxy/{path}');
    expect(Object.keys(proxy).sort()).toEqual([
      'delete',
      'get',
      'head',
      'options',
      'parameters',
      'patch',
      'post',
      'put',
    ]);
    expect(at(proxy, 'options')).toMatchObject({
      operationId: 'connectCoreV1OptionsNamespacedServiceProxyWithPath',
      'x-kubernetes-action': 'connect',
      'x-kubernetes-group-version-kind': { group: '', version: 'v1', kind: 'ServiceProxyOptions' },
    });
  });

  test('discovery and version have documents too', () => {
    expect(at(operationsOf('/apis/rbac.authorization.k8s.io/'), 'get')).toMatchObject({
      operationId: 'getRbacAuthorizationAPIGroup',
      tags: ['rbacAuthorization'],
    });
    expect(at(operationsOf('/apis/apps/v1/'), 'get', 'operationId')).toBe('getAppsV1APIResources');
    expect(at(operationsOf('/api/'), 'get', 'operationId')).toBe('getCoreAPIVersions');
    expect(at(operationsOf('/apis/'), 'get', 'operationId')).toBe('getAPIVersions');
    expect(at(operationsOf('/version/'), 'get', 'operationId')).toBe('getCodeVersion');
    for (const [path] of documents) expect(paths[path]?.serverRelativeURL).toContain(`/openapi/v3/${path}?hash=`);
  });

  test('every schema and property of every document has a description, in v3 and in v2', () => {
    const missing: string[] = [];
    const look = (schemas: unknown): void => {
      for (const [name, schema] of Object.entries(schemas as Json)) {
        if (!isObject(schema) || typeof schema['description'] !== 'string') missing.push(name);
        const properties = isObject(schema) && isObject(schema['properties']) ? schema['properties'] : {};
        for (const [key, p] of Object.entries(properties))
          if (!isObject(p) || typeof p['description'] !== 'string') missing.push(`${name}.${key}`);
      }
    };
    for (const [, d] of documents) look(at(d, 'components', 'schemas'));
    look(v2['definitions']);
    expect(missing).toEqual([]);
    expect(at(v2, 'definitions', 'io.k8s.api.core.v1.Pod', 'properties', 'spec')).toEqual({
      description: 'What is wished for.',
      $ref: '#/definitions/io.k8s.api.core.v1.PodSpec',
    });
  });

  test('v2 has no defaults, v3 has them', () => {
    const keys = (value: unknown): number =>
      isObject(value)
        ? Object.entries(value).reduce((n, [k, v]) => n + (k === 'default' && !isObject(v) ? 1 : 0) + keys(v), 0)
        : 0;
    expect(keys(v2)).toBe(0);
    expect(keys(documents.find(([path]) => path === 'api/v1')?.[1])).toBeGreaterThan(100);
  });

  test('operation ids are unique', () => {
    const ids = documents.flatMap(([, d]) =>
      Object.values(at(d, 'paths') as Json).flatMap((item) =>
        Object.values(item as Json).flatMap((o) => (isObject(o) ? [o['operationId']] : [])),
      ),
    );
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
    expect(ids).toContain('readCoreV1NamespacedPodLog');
    expect(ids).toContain('deleteCoreV1CollectionNamespacedPod');
    expect(ids).toContain('connectCoreV1GetNamespacedPodExec');
    expect(ids).toContain('listCoreV1PodForAllNamespaces');
    expect(ids).toContain('createRbacAuthorizationV1ClusterRole');
    expect(ids).toContain('patchAppsV1NamespacedDeployment');
  });

  test('schemas carry what apply and explain need', () => {
    const schemas = at(documents.find(([path]) => path === 'api/v1')?.[1], 'components', 'schemas') as Json;
    expect(at(schemas, 'io.k8s.api.core.v1.Pod')).toMatchObject({
      type: 'object',
      'x-kubernetes-group-version-kind': [{ group: '', version: 'v1', kind: 'Pod' }],
      properties: {
        metadata: {
          allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }],
          default: {},
        },
      },
    });
    expect(at(schemas, 'io.k8s.api.core.v1.PodSpec')).toMatchObject({
      required: ['containers'],
      properties: {
        containers: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          'x-kubernetes-patch-strategy': 'merge',
          'x-kubernetes-patch-merge-key': 'name',
        },
        volumes: { 'x-kubernetes-patch-strategy': 'merge,retainKeys' },
        nodeSelector: { 'x-kubernetes-map-type': 'atomic', type: 'object', additionalProperties: { type: 'string' } },
      },
    });
    expect(at(schemas, 'io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference', 'required')).toEqual([
      'apiVersion',
      'kind',
      'name',
      'uid',
    ]);
    expect(at(schemas, 'io.k8s.api.core.v1.ContainerPort')).toMatchObject({
      required: ['containerPort'],
      properties: { protocol: { default: 'TCP' } },
    });
    expect(at(schemas, 'io.k8s.apimachinery.pkg.util.intstr.IntOrString')).toMatchObject({ format: 'int-or-string' });
  });
});
