import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const metadata = { name: 'x' };

test('names of services may begin with a digit (KEP-5311)', () => {
  const errors = (name: string): string[] =>
    createErrors(Kinds.services, { metadata: { name }, spec: { ports: [{ port: 1 }] } });
  expect(errors('1a')).toEqual([]);
  expect(errors('a.b')).toEqual(['metadata.name: Invalid value: "a.b": must not contain dots']);
});

describe('endpoint slices', () => {
  const errors = (s: object): string[] => createErrors(Kinds.endpointslices, { metadata, addressType: 'IPv4', ...s });
  const addresses = (addressType: string, ...list: string[]): string[] =>
    errors({ addressType, endpoints: [{ addresses: list }] });

  test('addresses by type', () => {
    expect(addresses('IPv4', '10.0.0.1')).toEqual([]);
    expect(addresses('IPv4', '10.0.0.01', '::1')).toEqual([
      'endpoints[0].addresses[0]: Invalid value: "10.0.0.01": must not have leading 0s',
      'endpoints[0].addresses: Invalid value: "::1": must be an IPv4 address',
      'endpoints[0].addresses[1]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ]);
    expect(addresses('IPv6', 'FD00::1')).toEqual([
      'endpoints[0].addresses[0]: Invalid value: "FD00::1": must be in canonical form ("fd00::1")',
    ]);
    expect(addresses('FQDN', 'a.b.', 'a')).toEqual([
      'endpoints[0].addresses[1]: Invalid value: "a": should be a domain with at least two segments separated by dots',
    ]);
    expect(addresses('X')).toEqual([
      'addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"',
      'endpoints[0].addresses: Required value: must contain at least 1 address',
    ]);
  });

  test('ports and hints', () => {
    expect(errors({ ports: [{ name: 'a' }, { name: 'a', protocol: 'X', appProtocol: 'a/b/c' }] })).toEqual([
      'ports[1].name: Duplicate value: "a"',
      'ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
      expect.stringMatching(/^ports\[1\]\.appProtocol: Invalid value: "a\/b\/c"/),
    ]);
    const forZones = [{ name: 'a' }, { name: 'a' }];
    const forNodes = Array.from({ length: 9 }, (_, i) => ({ name: `n${i}` }));
    expect(errors({ endpoints: [{ addresses: ['10.0.0.1'], hints: { forZones, forNodes } }] })).toEqual([
      'endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
      'endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items',
    ]);
  });

  test('endpoints of older rules may stay', () => {
    const old = created(Kinds.endpointslices, {
      metadata,
      addressType: 'IPv4',
      endpoints: [{ addresses: ['010.0.0.1'] }],
    });
    expect(updateErrors(Kinds.endpointslices, old, (s) => Object.assign(s.metadata, { labels: { a: 'b' } }))).toEqual(
      [],
    );
    expect(
      updateErrors(Kinds.endpointslices, old, (s) => Object.assign(s, { endpoints: [{ addresses: ['010.0.0.2'] }] })),
    ).toHaveLength(1);
  });
});
