import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KindInfo, Kinds, type KubeObject, kindInfo } from '#lib/api';
import { realClock } from '#lib/base';
import { MemoryStore } from '#lib/store';
import { WatchCache } from '../../cache/watch-cache.ts';
import { KindRegistry } from '../../kind-registry.ts';
import { Storage } from '../../storage.ts';
import { testContext as c } from '../../testing/server.ts';
import type { AdmissionRequest } from '../chain.ts';
import { isExempt, type Match, Matcher } from './match.ts';

const store = new MemoryStore({ clock: realClock });
const kinds = new KindRegistry();
let cache: WatchCache;
let matcher: Matcher;

beforeAll(async () => {
  cache = await WatchCache.open({ store, kinds, clock: realClock, log: c.log, freeze: true }, c);
  const storage = new Storage({ store, cache });
  matcher = new Matcher({ storage, kinds });
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n', labels: { team: 'a' } } };
  await storage.create(kindInfo(Kinds.namespaces), namespace, {}, c);
});
afterAll(async () => {
  await cache[Symbol.asyncDispose]();
});

const object = (labels: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'X',
  metadata: { name: 'x', labels },
});

function asked(o: Partial<AdmissionRequest> & { kind: KindInfo }): AdmissionRequest {
  return {
    operation: 'CREATE',
    subresource: '',
    namespace: o.kind.namespaced ? 'n' : '',
    name: 'x',
    user: { name: 'u', groups: [] },
    dryRun: false,
    object: object(),
    previous: undefined,
    warn: () => undefined,
    ...o,
  };
}

const rule = (o: object = {}) => ({
  apiGroups: ['*'],
  apiVersions: ['*'],
  resources: ['*/*'],
  operations: ['*'],
  ...o,
});
const matches = async (match: Match, request: AdmissionRequest): Promise<string | undefined> => {
  const kind = await matcher.matches(match, request, c);
  return kind && `${kind.group}/${kind.version}`;
};
const pods = kindInfo(Kinds.pods);
const nodes = kindInfo(Kinds.nodes);
const namespaces = kindInfo(Kinds.namespaces);
const autoscalers = kindInfo(Kinds.horizontalpodautoscalers);

describe('rules', () => {
  test.each<[object, Partial<AdmissionRequest> & { kind: KindInfo }, boolean]>([
    [{}, { kind: pods }, true],
    [{ resources: ['pods'] }, { kind: pods }, true],
    [{ resources: ['pods'] }, { kind: pods, subresource: 'status' }, false],
    [{ resources: ['*'] }, { kind: pods, subresource: 'status' }, false],
    [{ resources: ['*/status'] }, { kind: pods, subresource: 'status' }, true],
    [{ resources: ['pods/*'] }, { kind: pods, subresource: 'status' }, true],
    [{ apiGroups: ['apps'] }, { kind: pods }, false],
    [{ operations: ['UPDATE', 'DELETE'] }, { kind: pods }, false],
    [{ operations: ['UPDATE', 'DELETE'] }, { kind: pods, operation: 'DELETE' }, true],
    [{ scope: 'Namespaced' }, { kind: pods }, true],
    [{ scope: 'Namespaced' }, { kind: nodes }, false],
    [{ scope: 'Cluster' }, { kind: nodes }, true],
    [{ scope: 'Cluster' }, { kind: namespaces }, true],
    [{ scope: 'Namespaced' }, { kind: namespaces }, false],
    [{ resourceNames: ['y', 'x'] }, { kind: pods }, true],
    [{ resourceNames: ['y'] }, { kind: pods }, false],
    [{ resourceNames: ['y'] }, { kind: pods, name: '' }, false],
  ])('%j', async (part, request, isMatched) => {
    expect((await matches({ resourceRules: [rule(part)] }, asked(request))) !== undefined).toBe(isMatched);
    const excluded = { excludeResourceRules: [rule(part)] };
    expect((await matches(excluded, asked(request))) !== undefined).toBe(!isMatched);
  });

  test('an equivalent version is matched unless the policy is Exact', async () => {
    const resourceRules = [rule({ apiGroups: ['autoscaling'], apiVersions: ['v1'] })];
    const request = asked({ kind: autoscalers });
    expect(await matches({ resourceRules }, request)).toBe('autoscaling/v1');
    expect(await matches({ resourceRules, matchPolicy: 'Exact' }, request)).toBeUndefined();
  });
});

describe('selectors', () => {
  const team = (value: string) => ({ matchLabels: { team: value } });

  test('namespaces by their labels; cluster-scoped objects are always selected', async () => {
    expect(await matches({ namespaceSelector: team('a') }, asked({ kind: pods }))).toBe('/v1');
    expect(await matches({ namespaceSelector: team('b') }, asked({ kind: pods }))).toBeUndefined();
    expect(await matches({ namespaceSelector: team('b') }, asked({ kind: nodes }))).toBe('/v1');
    await expect(matches({ namespaceSelector: team('a') }, asked({ kind: pods, namespace: 'gone' }))).rejects.toThrow(
      'namespaces "gone" not found',
    );
  });

  test('a namespace by its own labels: the new ones, when it goes those it has', async () => {
    const written = asked({ kind: namespaces, name: 'n', object: object({ team: 'b' }) });
    expect(await matches({ namespaceSelector: team('b') }, written)).toBe('/v1');
    expect(await matches({ namespaceSelector: team('a') }, written)).toBeUndefined();
    const gone = asked({ kind: namespaces, name: 'n', operation: 'DELETE', object: undefined });
    expect(await matches({ namespaceSelector: team('a') }, gone)).toBe('/v1');
  });

  test('objects by the new or the old labels', async () => {
    const objectSelector = team('a');
    expect(await matches({ objectSelector }, asked({ kind: pods }))).toBeUndefined();
    expect(await matches({ objectSelector }, asked({ kind: pods, object: object({ team: 'a' }) }))).toBe('/v1');
    expect(await matches({ objectSelector }, asked({ kind: pods, previous: object({ team: 'a' }) }))).toBe('/v1');
  });
});

test('policies, bindings and webhook configurations are exempt', () => {
  const exempt = kinds.all().filter((kind) => isExempt(asked({ kind })));
  expect(exempt.map((k) => k.resource).toSorted()).toEqual([
    'mutatingadmissionpolicies',
    'mutatingadmissionpolicybindings',
    'mutatingwebhookconfigurations',
    'validatingadmissionpolicies',
    'validatingadmissionpolicybindings',
    'validatingwebhookconfigurations',
  ]);
});
