import { expect, test } from 'vitest';
import { requestHeaders, responseHeaders, upgradeHeaders } from './headers.ts';

const base = { method: 'GET', remoteAddress: '192.0.2.1', uri: '/p/x', host: '10.0.0.1:80' };

function sent(headers: readonly string[], extra: Partial<Parameters<typeof requestHeaders>[0]> = {}): string[] {
  return requestHeaders({ ...base, headers, ...extra });
}

test('requestHeaders: what is for the next hop alone, and what the client showed to us alone, stays (RFC 9110 7.6.1)', () => {
  const headers = ['Host', 'h', 'Connection', 'close, X-Hop', 'X-Hop', '1', 'TE', 'trailers', 'Keep-Alive', '5'];
  const ours = [
    'Authorization',
    'Bearer t',
    'Impersonate-User',
    'u',
    'Impersonate-Extra-a',
    'b',
    'X-Remote-Group',
    'g',
  ];
  const kept = ['Cookie', 'a=b', 'cookie', 'c=d'];
  expect(sent([...headers, ...ours, ...kept])).toEqual([
    ...['Host', 'h', ...kept],
    ...['X-Forwarded-For', '192.0.2.1', 'X-Forwarded-Uri', '/p/x'],
  ]);
});

test('requestHeaders: forwarded-for is a list, forwarded-uri is ours, a missing host is the target', () => {
  expect(sent(['X-Forwarded-For', '198.51.100.1', 'X-Forwarded-Uri', '/forged'])).toEqual([
    ...['Host', '10.0.0.1:80', 'X-Forwarded-For', '198.51.100.1, 192.0.2.1', 'X-Forwarded-Uri', '/p/x'],
  ]);
});

test('requestHeaders: an upgrade keeps its offer, but no bearer token among the subprotocols', () => {
  const offered = 'base64url.bearer.authorization.k8s.io.c2VjcmV0, chat';
  const got = sent(['Host', 'h', 'Upgrade', 'x', 'Sec-WebSocket-Protocol', offered], { upgrade: 'websocket' });
  expect(got.slice(0, 4)).toEqual(['Host', 'h', 'Sec-WebSocket-Protocol', 'chat']);
  expect(got.slice(-4)).toEqual(['Connection', 'Upgrade', 'Upgrade', 'websocket']);
});

test('responseHeaders: hop-by-hop and CORS headers go, others pass in their order, also twice', () => {
  const headers = [
    'Set-Cookie',
    'a',
    'Connection',
    'x',
    'X',
    '1',
    'Access-Control-Allow-Origin',
    '*',
    'set-cookie',
    'b',
  ];
  const change = (name: string, value: string): string | undefined =>
    name === 'etag' ? undefined : value.toUpperCase();
  expect(responseHeaders([...headers, 'ETag', 'q'], change)).toEqual(['Set-Cookie', 'A', 'set-cookie', 'B']);
});

test('upgradeHeaders: the lines of a 101', () => {
  const headers = ['Connection', 'Upgrade', 'Upgrade', 'x', 'Access-Control-Allow-Origin', '*'];
  expect(upgradeHeaders(headers)).toEqual(['Connection: Upgrade', 'Upgrade: x']);
});
