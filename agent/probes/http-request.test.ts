import { describe, expect, test } from 'vitest';
import { type HttpTarget, handlerHeaders, requestPath, requestText } from './http-request.ts';

const target = (o: Partial<HttpTarget>): HttpTarget => ({
  ...{ scheme: 'http', host: '10.0.0.1', port: 80, path: '/', headers: [] },
  ...o,
});

describe('requestPath: what a pod says, as Go escapes it', () => {
  test.each([
    ['/healthz?full=1', '/healthz?full=1'],
    ['healthz', '/healthz'],
    ['?a=b', '/?a=b'],
    ['/with blank', '/with%20blank'],
    ['/a%2Fb', '/a%2Fb'],
    ['/part#fragment', '/part'],
    ['/50%', '/50%25'],
    ['/50%?a#b', '/50%25%3Fa%23b'],
    ['/?discount=50%', '/?discount=50%'],
    ['/a\r\nHost: b', '/a%0D%0AHost:%20b'],
    ['/ä\ud800', '/%C3%A4%EF%BF%BD'],
    ['/"<>\\^`{|}', '/%22%3C%3E%5C%5E%60%7B%7C%7D'],
  ])('%j', (path, expected) => expect(requestPath(path)).toBe(expected));
});

describe('handlerHeaders', () => {
  test('what the pod says nothing of is added, whatever letters it is written in', () => {
    expect(handlerHeaders([], 'lifecycle')).toEqual([
      { name: 'User-Agent', value: 'kube-lifecycle/1.36' },
      { name: 'Accept', value: '*/*' },
    ]);
    expect(handlerHeaders([{ name: 'user-agent', value: 'mine' }], 'probe')).toEqual([
      { name: 'Accept', value: '*/*' },
      { name: 'user-agent', value: 'mine' },
    ]);
  });

  test('an empty Accept is not sent', () => {
    expect(handlerHeaders([{ name: 'accept', value: '' }], 'probe').map((h) => h.name)).toEqual(['User-Agent']);
  });
});

describe('requestText', () => {
  test('each header once for each time it is named, and the connection ends', () => {
    const headers = [
      { name: 'X-A', value: '1' },
      { name: 'X-A', value: 'ü\t2' },
    ];
    expect(requestText(target({ host: 'fd00::1', port: 8080, path: '/x', headers }))).toBe(
      'GET /x HTTP/1.1\r\nHost: [fd00::1]:8080\r\nX-A: 1\r\nX-A: ü\t2\r\nConnection: close\r\n\r\n',
    );
  });

  test("Host is the pod's where it names one; what frames the request is not", () => {
    const named = ['hOST', 'Content-Length', 'transfer-encoding', 'Connection'];
    const text = requestText(target({ headers: named.map((name) => ({ name, value: 'chunked' })) }));
    expect(text).toBe('GET / HTTP/1.1\r\nHost: chunked\r\nConnection: close\r\n\r\n');
  });

  test.each([
    ['X', 'a\nb', 'net/http: invalid header field value for "X"'],
    ['Host', 'a\r\nb: c', 'net/http: invalid header field value for "Host"'],
    ['X', 'a\u0000', 'net/http: invalid header field value for "X"'],
    ['a b', '', 'net/http: invalid header field name "a b"'],
    ['', '', 'net/http: invalid header field name ""'],
  ])('a header cannot begin another line: %j: %j', (name, value, message) => {
    expect(() => requestText(target({ headers: [{ name, value }] }))).toThrow(message);
  });
});
