import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DeepReadonly, EndpointSlice, Pod, Service } from '#lib/api';
import { plan as planEndpoints } from '../endpoints/plan.ts';
import { type Action, ENDPOINTS_MAX, plan } from './plan.ts';

function service(o: Partial<DeepReadonly<Service>['spec']> = {}): DeepReadonly<Service> {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'ns', uid: 's', labels: { team: 'shop' } },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...o },
  };
}

interface PodOptions {
  readonly ready?: boolean;
  readonly deleted?: boolean;
  readonly phase?: string;
  readonly spec?: Partial<DeepReadonly<Pod>['spec']>;
}

function pod(n: number, o: PodOptions = {}): DeepReadonly<Pod> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `p${n}`, namespace: 'ns', uid: `u${n}`, ...(o.deleted ? { deletionTimestamp: 'now' } : {}) },
    spec: { nodeName: 'n1', containers: [], ...o.spec },
    status: {
      phase: o.phase ?? 'Running',
      podIP: `10.0.${Math.floor(n / 250)}.${n % 250}`,
      conditions: [{ type: 'Ready', status: o.ready === false ? 'False' : 'True' }],
    },
  };
}

const nodeOf = () => undefined;
type Slice = DeepReadonly<EndpointSlice>;

function run(
  s: DeepReadonly<Service>,
  pods: readonly DeepReadonly<Pod>[],
  slices: readonly Slice[],
): readonly Action[] {
  return plan({ service: s, pods, slices, nodeOf });
}

const OWNER = { apiVersion: 'v1', kind: 'Service', name: 'web', uid: 's' };
let made = 0;
function applied(slices: readonly Slice[], actions: readonly Action[]): Slice[] {
  const out = [...slices];
  for (const a of actions) {
    if (a.type === 'create')
      out.push({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `s${++made}`, labels: { ...a.content.labels }, ownerReferences: [OWNER] },
        addressType: a.content.addressType,
        ports: [...a.content.ports],
        endpoints: [...a.content.endpoints],
      });
    else if (a.type === 'delete') out.splice(out.indexOf(a.slice), 1);
    else
      out[out.indexOf(a.slice)] = {
        ...a.slice,
        metadata: { ...a.slice.metadata, labels: { ...a.content.labels } },
        endpoints: [...a.content.endpoints],
      };
  }
  return out;
}

describe('endpoint slices', () => {
  test('a slice of a former Service of this name, or one that is going, is not built on', () => {
    const [mine] = applied([], run(service(), [pod(1)], []));
    const former = {
      ...(mine as Slice),
      metadata: { ...mine?.metadata, name: 'old', ownerReferences: [{ ...OWNER, uid: 'x' }] },
    };
    const going = { ...(mine as Slice), metadata: { ...mine?.metadata, name: 'going', deletionTimestamp: 'now' } };
    const actions = run(service(), [pod(1)], [former, going]);
    expect(
      actions.map((a) => [a.type, a.type === 'create' ? a.content.endpoints.length : a.slice.metadata.name]),
    ).toEqual([
      ['create', 1],
      ['delete', 'old'],
    ]);
  });

  test('a pod whose address the API would refuse keeps no other pod out', () => {
    const at = (n: number, podIP: string): DeepReadonly<Pod> => ({ ...pod(n), status: { ...pod(n).status, podIP } });
    const special = ['127.0.0.1', '169.254.1.1', '0.0.0.0', '224.0.0.1', 'nonsense'];
    const [action] = run(service(), [...special.map((ip, i) => at(10 + i, ip)), pod(1)], []);
    const endpoints = action?.type === 'create' ? action.content.endpoints : [];
    expect(endpoints.map((e) => e.targetRef?.name)).toEqual(['p1']);
  });

  test('conditions: not ready and going pods leave at once, but still serve while they answer', () => {
    const [action] = run(
      service(),
      [pod(1), pod(2, { ready: false }), pod(3, { deleted: true }), pod(4, { phase: 'Failed' })],
      [],
    );
    const endpoints = action?.type === 'create' ? action.content.endpoints : [];
    expect(endpoints.map((e) => [e.targetRef?.name, e.conditions])).toEqual([
      ['p1', { ready: true, serving: true, terminating: false }],
      ['p2', { ready: false, serving: false, terminating: false }],
      ['p3', { ready: false, serving: true, terminating: true }],
    ]);
    expect(action?.type === 'create' && action.content).toMatchObject({
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      labels: {
        team: 'shop',
        'kubernetes.io/service-name': 'web',
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    });
  });

  test('publishNotReadyAddresses, headless label, hostname', () => {
    const s = service({ publishNotReadyAddresses: true, clusterIP: 'None' });
    const [action] = run(s, [pod(1, { ready: false, spec: { hostname: 'a', subdomain: 'web' } })], []);
    const content = action?.type === 'create' ? action.content : undefined;
    expect(content?.endpoints[0]).toMatchObject({ hostname: 'a', conditions: { ready: true, serving: false } });
    expect(content?.labels['service.kubernetes.io/headless']).toBe('');
  });

  test('a named target port is each pod own: one slice for each set of ports', () => {
    const s = service({ ports: [{ name: 'http', port: 80, targetPort: 'web' }] });
    const withPort = (containerPort: number): PodOptions => ({
      spec: { containers: [{ name: 'c', ports: [{ name: 'web', containerPort }] }] },
    });
    const actions = run(s, [pod(1, withPort(8080)), pod(2, withPort(9090)), pod(3, withPort(8080)), pod(4)], []);
    const found = actions.map((a) =>
      a.type === 'create' ? [a.content.ports[0]?.port, a.content.endpoints.length] : [],
    );
    expect(found).toEqual([
      [8080, 2],
      [9090, 1],
      [undefined, 1],
    ]);
  });

  test('a service without pods has one empty slice, which is then used', () => {
    const actions = run(service(), [], []);
    expect(actions).toMatchObject([{ type: 'create', content: { endpoints: [] } }]);
    const slices = applied([], actions);
    expect(run(service(), [], slices)).toEqual([]);
  });

  test('from any slices to any pods: settled after one step, each pod once, none too full, few changes', () => {
    const anyPods = fc.uniqueArray(fc.nat(260), { maxLength: 240, size: 'max' });
    fc.assert(
      fc.property(anyPods, anyPods, (before, after) => {
        const first = applied(
          [],
          run(
            service(),
            before.map((n) => pod(n)),
            [],
          ),
        );
        const actions = run(
          service(),
          after.map((n) => pod(n)),
          first,
        );
        const slices = applied(first, actions);
        expect(
          run(
            service(),
            after.map((n) => pod(n)),
            slices,
          ),
        ).toEqual([]);
        const names = slices.flatMap((s) => s.endpoints.map((e) => e.targetRef?.name ?? ''));
        expect(names.toSorted()).toEqual(after.map((n) => `p${n}`).toSorted());
        expect(slices.length).toBeGreaterThan(0);
        for (const s of slices) expect(s.endpoints.length).toBeLessThanOrEqual(ENDPOINTS_MAX);
        if (before.toSorted().join() === after.toSorted().join()) expect(actions).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('a pod in two slices is kept in one', () => {
    const [create] = applied([], run(service(), [pod(1)], []));
    const twice = create ? [create, { ...create, metadata: { ...create.metadata, name: 'other' } }] : [];
    const slices = applied(twice, run(service(), [pod(1)], twice));
    expect(slices.flatMap((s) => s.endpoints)).toHaveLength(1);
    expect(slices).toHaveLength(1);
  });
});

describe('endpoints object', () => {
  test('ready and not ready addresses, going pods left out, capped', () => {
    const content = planEndpoints(
      service(),
      [pod(2), pod(1), pod(3, { ready: false }), pod(4, { deleted: true })],
      nodeOf,
    );
    expect(content.subsets).toEqual([
      {
        addresses: [1, 2].map((n) => ({
          ip: `10.0.0.${n}`,
          nodeName: 'n1',
          targetRef: { kind: 'Pod', namespace: 'ns', name: `p${n}`, uid: `u${n}` },
        })),
        notReadyAddresses: [
          { ip: '10.0.0.3', nodeName: 'n1', targetRef: { kind: 'Pod', namespace: 'ns', name: 'p3', uid: 'u3' } },
        ],
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
    ]);
    expect(content.isOverCapacity).toBe(false);
    const many = planEndpoints(
      service(),
      Array.from({ length: 1_100 }, (_, n) => pod(n)),
      nodeOf,
    );
    expect(many.subsets[0]?.addresses).toHaveLength(1_000);
    expect(many.isOverCapacity).toBe(true);
  });
});
