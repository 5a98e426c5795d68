import { describe, expect, test } from 'vitest';
import { createCa } from '#lib/pki';
import { authenticationData } from './authentication-config.ts';
import { forwardedHeaders, identityHeaders, returnedHeaders } from './headers.ts';
import { dialTargets } from './service-dialer.ts';

const USER = { name: 'jane', groups: ['devs', 'system:authenticated'], uid: 'u-7' };
const to = { user: USER, host: 'x.ns.svc', from: '192.0.2.9', upgrade: undefined };

describe('headers toward an extension server', () => {
  test('say who the user is; extra keys are lower case and escaped', () => {
    const extra = { 'Example.com/Scope one%': ['a', 'b'], empty: [] };
    expect(identityHeaders({ ...USER, extra })).toEqual({
      'x-remote-user': ['jane'],
      'x-remote-uid': ['u-7'],
      'x-remote-group': ['devs', 'system:authenticated'],
      'x-remote-extra-example.com%2Fscope%20one%25': ['a', 'b'],
    });
    expect(identityHeaders({ name: 'a\r\nX-Remote-Group: system:masters', groups: ['é'] })).toEqual({
      'x-remote-user': ['a??X-Remote-Group: system:masters'],
      'x-remote-group': [Buffer.from('é').toString('latin1')],
    });
  });

  test('nothing that says who the client is passes, nor what belongs to the connection', () => {
    const given = {
      host: ['api.example.com'],
      authorization: ['Bearer t'],
      'impersonate-user': ['x'],
      'impersonate-extra-a': ['x'],
      'x-remote-user': ['eve'],
      'x-remote-group': ['system:masters'],
      'x-remote-extra-a': ['b'],
      'x-remote-anything': ['b'],
      connection: ['X-Mine, keep-alive'],
      'x-mine': ['1'],
      te: ['trailers'],
      'transfer-encoding': ['chunked'],
      'x-forwarded-for': ['203.0.113.1'],
      'sec-websocket-protocol': ['base64url.bearer.authorization.k8s.io.dG9rZW4, v5.channel.k8s.io'],
      accept: ['application/json', 'text/plain'],
    };
    expect(forwardedHeaders(given, to)).toEqual({
      accept: ['application/json', 'text/plain'],
      host: ['x.ns.svc'],
      'sec-websocket-protocol': ['v5.channel.k8s.io'],
      'transfer-encoding': ['chunked'],
      'x-forwarded-for': ['203.0.113.1, 192.0.2.9'],
      'x-remote-user': ['jane'],
      'x-remote-uid': ['u-7'],
      'x-remote-group': ['devs', 'system:authenticated'],
    });
    const upgraded = forwardedHeaders({ ...given, 'content-length': ['3'] }, { ...to, upgrade: 'websocket' });
    expect(upgraded).toMatchObject({ connection: ['Upgrade'], upgrade: ['websocket'] });
    // Its body is not sent before the answer.
    expect(Object.keys(upgraded)).not.toContain('content-length');
    expect(Object.keys(upgraded)).not.toContain('transfer-encoding');
  });

  test('back to the client all but those of the connection', () => {
    const given = { 'set-cookie': ['a', 'b'], connection: ['close, x-b'], 'x-b': ['1'], 'content-length': ['3'] };
    expect(returnedHeaders(given)).toEqual({ 'set-cookie': ['a', 'b'], 'content-length': ['3'] });
  });
});

describe('where a service is dialled', () => {
  const service = (spec: object): Parameters<typeof dialTargets>[0] => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 's', namespace: 'ns' },
    spec,
  });
  const slice = (endpoints: object[], ports: object[] = [{ name: 'https', port: 8443 }]): never =>
    ({ metadata: { name: 's-1' }, addressType: 'IPv4', ports, endpoints }) as never;
  const ports = [
    { name: 'https', port: 443, targetPort: 'x' },
    { name: 'other', port: 80 },
  ];

  test('pods by their node, others by address, only ready ones, by the name of the port', () => {
    const targetRef = { kind: 'Pod', namespace: 'ns', name: 'p', uid: 'u' };
    const endpoints = [
      { addresses: ['10.0.0.1'], nodeName: 'n1', targetRef, conditions: { ready: true } },
      { addresses: ['10.0.0.2'], nodeName: 'n2', targetRef, conditions: { ready: false } },
      { addresses: ['198.51.100.7'] },
    ];
    const slices = [slice(endpoints), slice(endpoints, [{ name: 'metrics', port: 9 }])];
    expect(dialTargets(service({ ports }), slices, 443)).toEqual([
      { by: 'node', node: 'n1', pod: { namespace: 'ns', name: 'p', uid: 'u' }, port: 8443 },
      { by: 'address', host: '198.51.100.7', port: 8443 },
    ]);
    expect(dialTargets(service({ ports }), slices, 80)).toEqual([]);
    expect(() => dialTargets(service({ ports }), slices, 81)).toThrow('no service port 81 found for service "s"');
  });

  test.each(['127.0.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1', 'localhost'])('never %s', (address) => {
    expect(dialTargets(service({ ports }), [slice([{ addresses: [address] }])], 443)).toEqual([]);
  });

  test('an ExternalName by its name', () => {
    const external = service({ type: 'ExternalName', externalName: 'api.example.com' });
    expect(dialTargets(external, [], 8443)).toEqual([{ by: 'address', host: 'api.example.com', port: 8443 }]);
  });
});

test('extension-apiserver-authentication: authorities are added to those there, expired and foreign text left out', async () => {
  const [one, two] = [await createCa('one'), await createCa('two')];
  const now = Date.now();
  const first = authenticationData(
    { mine: 'kept' },
    { clientCaPem: one.certPem, requestHeaderCaPem: two.certPem },
    now,
  );
  expect(first).toEqual({
    mine: 'kept',
    'client-ca-file': `${one.certPem.trim()}\n`,
    'requestheader-client-ca-file': `${two.certPem.trim()}\n`,
    'requestheader-allowed-names': '["front-proxy-client"]',
    'requestheader-username-headers': '["X-Remote-User"]',
    'requestheader-uid-headers': '["X-Remote-Uid"]',
    'requestheader-group-headers': '["X-Remote-Group"]',
    'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
  });
  const dirty = { ...first, 'client-ca-file': `${first['client-ca-file']}nonsense` };
  const second = authenticationData(dirty, { clientCaPem: two.certPem, requestHeaderCaPem: two.certPem }, now);
  expect(second['client-ca-file']).toBe(`${one.certPem.trim()}\n${two.certPem.trim()}\n`);
  expect(second['requestheader-client-ca-file']).toBe(first['requestheader-client-ca-file']);
  const later = now + 11 * 365 * 24 * 3600 * 1000;
  expect(authenticationData(first, { clientCaPem: undefined, requestHeaderCaPem: two.certPem }, later)).toMatchObject({
    'client-ca-file': first['client-ca-file'],
    'requestheader-client-ca-file': '',
  });
});
