import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, texts, updateErrors } from '../testing/prepared.ts';
import { validateCreate } from '../validation.ts';

const metadata = { name: 'x' };
const exactly = { deviceClassName: 'gpu' };
const requests = [{ name: 'a', exactly }];
const claim = (devices: object): object => ({ metadata, spec: { devices: { requests, ...devices } } });
const errors = (devices: object): string[] => createErrors(Kinds.resourceclaims, claim(devices));
const at = 'spec.devices.requests[0]';

describe('resource claims', () => {
  test('requests', () => {
    expect(errors({})).toEqual([]);
    expect(
      errors({ requests: [{ name: 'a' }, { name: 'a', exactly, firstAvailable: [{ name: 's', ...exactly }] }] }),
    ).toEqual([
      `${at}: Required value: exactly one of \`exactly\` or \`firstAvailable\` is required`,
      'spec.devices.requests[1]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set',
      'spec.devices.requests[1]: Duplicate value: "a"',
    ]);
    const tolerations = [{ key: 'k', operator: 'Exists', value: 'v', effect: 'X' }];
    expect(errors({ requests: [{ name: 'a', exactly: { allocationMode: 'All', count: 2, tolerations } }] })).toEqual([
      `${at}.exactly.deviceClassName: Required value`,
      `${at}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'`,
      `${at}.exactly.tolerations[0].value: Invalid value: "v": must be empty for operator \`Exists\``,
      `${at}.exactly.tolerations[0].effect: Unsupported value: "X": supported values: "NoExecute", "NoSchedule", "None"`,
    ]);
    const many = Array.from({ length: 33 }, (_, i) => ({ name: `n${i}`, exactly }));
    expect(errors({ requests: many })).toEqual(['spec.devices.requests: Too many: 33: must have at most 32 items']);
  });

  test('constraints and configuration', () => {
    const reference =
      "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    expect(errors({ constraints: [{ requests: ['b', 'a'], matchAttribute: 'a.io/x' }, {}] })).toEqual([
      `spec.devices.constraints[0].requests[0]: Invalid value: "b": ${reference}`,
      'spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
    ]);
    expect(errors({ constraints: [{ matchAttribute: '1x' }] })).toEqual([
      expect.stringMatching(
        /^spec\.devices\.constraints\[0\]\.matchAttribute: Invalid value: "1x": a valid C identifier/,
      ),
      'spec.devices.constraints[0].matchAttribute: Invalid value: "1x": a fully qualified name must be a domain and a name separated by a slash',
    ]);
    expect(errors({ config: [{}, { opaque: { driver: '', parameters: 'x' } }] })).toEqual([
      'spec.devices.config[0].opaque: Required value',
      'spec.devices.config[1].opaque.driver: Required value',
      'spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
    ]);
  });

  test('selectors go to the expression check; the spec is immutable', () => {
    const selectors = [{ cel: { expression: 'bad' } }, {}];
    const object = created(
      Kinds.resourceclaims,
      claim({ requests: [{ name: 'a', exactly: { ...exactly, selectors } }] }),
    );
    const expressions = () => (use: { kind: string; expression: string }) => [`${use.kind} ${use.expression}`];
    expect(texts(validateCreate(Kinds.resourceclaims, object, { expressions }))).toEqual([
      `${at}.exactly.selectors[0].cel.expression: Invalid value: "bad": deviceSelector bad`,
      `${at}.exactly.selectors[1].cel: Required value`,
    ]);
    const old = created(Kinds.resourceclaims, claim({}));
    expect(updateErrors(Kinds.resourceclaims, old, (c) => Object.assign(c.spec.devices, { requests: [] }))[0]).toMatch(
      /^spec: Invalid value: .*: field is immutable$/,
    );
  });

  test('templates and classes', () => {
    const template = {
      metadata,
      spec: { metadata: { labels: { 'a b': 'c' } }, spec: { devices: { requests: [{ name: 'a' }] } } },
    };
    expect(createErrors(Kinds.resourceclaimtemplates, template).map((e) => e.split(':')[0])).toEqual([
      'spec.metadata.labels',
      'spec.spec.devices.requests[0]',
    ]);
    expect(
      createErrors(Kinds.deviceclasses, { metadata, spec: { extendedResourceName: 'cpu', config: [{}] } }),
    ).toEqual([
      'spec.config[0].opaque: Required value',
      'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
    ]);
    expect(createErrors(Kinds.deviceclasses, { metadata, spec: { extendedResourceName: 'a.io/gpu' } })).toEqual([]);
  });
});

describe('resource slices', () => {
  const pool = { name: 'p', resourceSliceCount: 1 };
  const slice = (s: object): object => ({ metadata, spec: { driver: 'd', pool, nodeName: 'n', ...s } });
  const sliceErrors = (s: object): string[] => createErrors(Kinds.resourceslices, slice(s));

  test('where and how many', () => {
    expect(sliceErrors({ devices: [{ name: 'a', attributes: { x: { int: 1 } } }] })).toEqual([]);
    expect(sliceErrors({ nodeName: undefined, pool: { name: '' } })).toEqual([
      'spec.pool.name: Required value',
      'spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero',
      'spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required',
    ]);
    expect(sliceErrors({ allNodes: true })).toEqual([
      'spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
    ]);
    const old = created(Kinds.resourceslices, slice({}));
    expect(updateErrors(Kinds.resourceslices, old, (s) => Object.assign(s.spec, { driver: 'e' }))).toEqual([
      'spec.driver: Invalid value: "e": field is immutable',
    ]);
  });

  test('devices', () => {
    const device = {
      name: 'a',
      attributes: { x: {}, y: { version: '1', string: 's' } },
      taints: [{ key: 'k' }],
      allNodes: true,
    };
    expect(sliceErrors({ devices: [device, { name: 'a' }] })).toEqual([
      'spec.devices[0].attributes[x]: Invalid value: "": exactly one value must be specified',
      'spec.devices[0].attributes[y].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0',
      'spec.devices[0].attributes[y]: Invalid value: {"string":"s","version":"1"}: exactly one value must be specified',
      'spec.devices[0].taints[0].effect: Required value',
      'spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec',
      'spec.devices[1]: Duplicate value: "a"',
    ]);
  });
});
