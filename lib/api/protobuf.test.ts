import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { decodeProtobuf, encodeProtobuf } from './protobuf.ts';
import { allKinds } from './registry.ts';
import { decodeObject } from './schema.ts';
import { arbitraryObject } from './testing/arbitrary.ts';

const { bodies } = JSON.parse(readFileSync(new URL('./fixtures/kubectl-protobuf.json', import.meta.url), 'utf8')) as {
  bodies: Record<string, string>;
};

/** What `kubectl create ... -o json --dry-run=client` prints for the same commands, in 1.36 form. */
const EXPECTED: Record<string, object> = {
  configmaps: { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'cm1' }, data: { a: 'b', c: 'd' } },
  secrets: { kind: 'Secret', apiVersion: 'v1', metadata: { name: 's1' }, data: { p: 'cQ==' } },
  namespaces: { kind: 'Namespace', apiVersion: 'v1', metadata: { name: 'ns1' }, spec: {}, status: {} },
  deployments: {
    kind: 'Deployment',
    apiVersion: 'apps/v1',
    metadata: { name: 'd1', labels: { app: 'd1' } },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: 'd1' } },
      template: {
        metadata: { labels: { app: 'd1' } },
        spec: { containers: [{ name: 'nginx', image: 'nginx:1.25', ports: [{ containerPort: 80 }], resources: {} }] },
      },
      strategy: {},
    },
    status: {},
  },
  services: {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name: 'svc1', labels: { app: 'svc1' } },
    spec: {
      ports: [{ name: '80-8080', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30080 }],
      selector: { app: 'svc1' },
      type: 'NodePort',
    },
    status: { loadBalancer: {} },
  },
  poddisruptionbudgets: {
    kind: 'PodDisruptionBudget',
    apiVersion: 'policy/v1',
    metadata: { name: 'p1' },
    spec: { minAvailable: 1, selector: { matchLabels: { a: 'b' } } },
    status: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
  },
};

describe('protobuf: bodies of kubectl 1.32', () => {
  test.each(Object.entries(EXPECTED))('%s', (name, object) => {
    expect(decodeProtobuf(Buffer.from(bodies[name] ?? '', 'base64')).object).toEqual(object);
  });

  test.each(Object.keys(bodies))('%s: encoding again gives the same bytes', (name) => {
    const bytes = Buffer.from(bodies[name] ?? '', 'base64');
    expect(encodeProtobuf(decodeProtobuf(bytes).object).equals(bytes)).toBe(true);
  });
});

describe('protobuf: every kind', () => {
  test('decode(encode(x)) = x, up to empty lists and maps, which the wire loses', () => {
    for (const kind of allKinds())
      fc.assert(
        fc.property(arbitraryObject(kind.schema), (value) => {
          const { object } = decodeObject(kind, value);
          const bytes = encodeProtobuf(object);
          const back = decodeProtobuf(bytes);
          expect(withoutEmpty(back.object)).toEqual(withoutEmpty(object));
          expect(encodeProtobuf(back.object).equals(bytes)).toBe(true);
        }),
        { numRuns: 5 },
      );
  });
});

function withoutEmpty(v: unknown): unknown {
  if (Array.isArray(v)) return v.length === 0 ? null : v.map(withoutEmpty);
  if (typeof v !== 'object' || v === null) return v;
  return Object.fromEntries(
    Object.entries(v)
      .map(([k, each]) => [k, withoutEmpty(each)])
      .filter(([, each]) => each !== null),
  );
}

describe('protobuf: refusals', () => {
  const envelope = (...bytes: number[]): Buffer => Buffer.from([0x6b, 0x38, 0x73, 0, ...bytes]);
  test.each([
    ['no envelope', Buffer.from('{}')],
    ['nothing', Buffer.alloc(0)],
    ['cut short', envelope(0x0a, 0x50, 0x01)],
    ['unknown kind', envelope(0x0a, 0x07, 0x0a, 0x01, 0x31, 0x12, 0x02, 0x58, 0x59)],
    ['illegal wire type', envelope(0x0f)],
  ])('%s is BadRequest', (_, bytes) => {
    let thrown: unknown;
    try {
      decodeProtobuf(bytes);
    } catch (e) {
      thrown = e;
    }
    expect(isKind(thrown, 'BadRequest')).toBe(true);
  });

  describe('what nests without an end is BadRequest, not an overflow of the stack', () => {
    const field = (number: number, value: Buffer): Buffer =>
      Buffer.concat([varint(number * 8 + 2), varint(value.length), value]);
    const refusal = (bytes: Buffer): unknown => {
      try {
        decodeProtobuf(bytes);
        return 'accepted';
      } catch (e) {
        return e;
      }
    };
    const tooDeep = { kind: 'BadRequest', message: expect.stringContaining('max depth') };

    test('groups', () => {
      expect(refusal(Buffer.concat([envelope(), Buffer.alloc(1_000_000, 5 * 8 + 3)]))).toMatchObject(tooDeep);
    });

    test('messages', () => {
      const typeMeta = [
        field(1, Buffer.from('apiextensions.k8s.io/v1')),
        field(2, Buffer.from('CustomResourceDefinition')),
      ];
      const crd = (levels: number): Buffer => {
        let schema: Buffer = Buffer.alloc(0);
        // JSONSchemaProps.not
        for (let i = 0; i < levels; i++) schema = field(25, schema);
        const spec = field(2, field(7, field(4, field(1, schema))));
        return Buffer.concat([envelope(), field(1, Buffer.concat(typeMeta)), field(2, spec)]);
      };
      expect(refusal(crd(20_000))).toMatchObject(tooDeep);
      expect(refusal(crd(100))).not.toMatchObject(tooDeep);
    });

    test('JSON inside', () => {
      const raw = field(2, Buffer.from('{"a":'.repeat(100_000)));
      const bytes = Buffer.concat([envelope(), raw, field(4, Buffer.from('application/json'))]);
      expect(refusal(bytes)).toMatchObject(tooDeep);
    });
  });

  test('any cut of a real body is read or refused, never worse', () => {
    const bytes = Buffer.from(bodies['deployments'] ?? '', 'base64');
    for (let length = 0; length < bytes.length; length++)
      try {
        decodeProtobuf(bytes.subarray(0, length));
      } catch (e) {
        expect(isKind(e, 'BadRequest')).toBe(true);
      }
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}
