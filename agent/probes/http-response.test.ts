import { describe, expect, test } from 'vitest';
import { seededRandom } from '#lib/base';
import { type HttpResponse, ResponseReader } from './http-response.ts';

/** In pieces that end at `cuts`, and then the end of the connection. */
function read(text: string | Buffer, cuts: readonly number[] = []): HttpResponse {
  const bytes = Buffer.from(text);
  const reader = new ResponseReader();
  for (const [i, from] of [0, ...cuts].entries()) {
    const answer = reader.push(bytes.subarray(from, cuts[i] ?? bytes.length));
    if (answer !== undefined) return answer;
  }
  return reader.end();
}

const HEAD = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const ANSWERS: readonly (readonly [name: string, text: string, status: number, body: string])[] = [
  ['a length', `${HEAD}Content-Length: 2\r\n\r\nokmore`, 200, 'ok'],
  ['no length', `${HEAD}\r\nto the end`, 200, 'to the end'],
  ['chunks', `${CHUNKED}3\r\none\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n`, 200, 'one0123456789'],
  ['line feeds alone', 'HTTP/1.0 503 Busy\nA: b\n\nno', 503, 'no'],
  ['a header of two lines', 'HTTP/1.1 200 OK\r\nA: b\r\n c d\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
  ['no reason', 'HTTP/1.1 404\r\n\r\n', 404, ''],
  ['what comes before the answer', `HTTP/1.1 103 Early\r\nLink: x\r\n\r\n${HEAD}\r\nok`, 200, 'ok'],
  ['a status without a body', 'HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n', 204, ''],
];

describe('ResponseReader', () => {
  test.each(ANSWERS)('%s', (_name, text, status, body) => {
    const answer = read(text);
    expect([answer.status, answer.body.toString()]).toEqual([status, body]);
  });

  test('an answer is the same in whatever pieces it comes', () => {
    for (const [name, text, status, body] of ANSWERS) {
      for (let cut = 1; cut < text.length; cut++) {
        const answer = read(text, [cut]);
        expect([name, cut, answer.status, answer.body.toString()]).toEqual([name, cut, status, body]);
      }
      const single = read(
        text,
        Array.from({ length: text.length - 1 }, (_, i) => i + 1),
      );
      expect([single.status, single.body.toString()]).toEqual([status, body]);
    }
  });

  test('Location is told of, the first one', () => {
    expect(read('HTTP/1.1 302 Found\r\nlocation:  /a \r\nLocation: /b\r\n\r\n').location).toBe('/a');
  });

  test.each([
    ['nothing', '', 'EOF'],
    ['half a head', HEAD, 'unexpected EOF'],
    ['half a body', `${HEAD}Content-Length: 3\r\n\r\nab`, 'unexpected EOF'],
    ['half a chunk', `${CHUNKED}3\r\nab`, 'unexpected EOF'],
    ['another protocol', 'SSH-2.0-x\r\n', 'malformed HTTP response "SSH-2.0-x'],
    ['TLS', Buffer.from([0x15, 3, 1, 0, 2, 2, 0x46]), 'malformed HTTP response'],
    ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n', 'malformed HTTP response "HTTP/2 200 OK"'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'malformed HTTP response'],
    ['a header without a colon', `${HEAD}abc\r\n\r\n`, 'malformed MIME header line: abc'],
    ['a negative length', `${HEAD}Content-Length: -1\r\n\r\n`, 'bad Content-Length "-1"'],
    ['a coding that nobody knows', `${HEAD}Transfer-Encoding: gzip\r\n\r\n`, 'unsupported transfer encoding: "gzip"'],
    ['a chunk of no size', `${CHUNKED}x\r\n`, 'invalid byte in chunk length'],
    ['a chunk of absurd size', `${CHUNKED}fffffffffffffffff\r\n`, 'invalid byte in chunk length'],
    ['a chunk that does not end', `${CHUNKED}1\r\nabc`, 'malformed chunked encoding'],
    ['an endless head', `${HEAD}a: ${'b'.repeat(20_000)}`, 'server response headers exceeded 16384 bytes; aborted'],
    ['an endless chunk size', `${CHUNKED}1;${'b'.repeat(5_000)}`, 'malformed chunked encoding'],
    ['no answer but 1xx', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(9), 'too many 1xx informational responses'],
  ])('refused: %s', (_name, text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  test('of a body no more than ten KiB is waited for', () => {
    const reader = new ResponseReader();
    expect(reader.push(Buffer.from(CHUNKED))).toBeUndefined();
    const chunk = Buffer.from(`1000\r\n${'a'.repeat(0x1000)}\r\n`);
    expect(reader.push(chunk)).toBeUndefined();
    expect(reader.push(chunk)).toBeUndefined();
    expect(reader.push(chunk)?.body.toString()).toBe('a'.repeat(10 << 10));
  });

  test('whatever bytes come are an answer or an error, at once', () => {
    const random = seededRandom(7);
    const words = [
      'HTTP/1.1 200 OK',
      '\r\n',
      '\n',
      'Transfer-Encoding: chunked',
      'Content-Length: 5',
      '5',
      'ab',
      '0',
      ';',
    ];
    for (let i = 0; i < 3_000; i++) {
      const count = 1 + Math.floor(random.next() * 12);
      const text = Array.from({ length: count }, () => words[Math.floor(random.next() * words.length)]).join('');
      try {
        const { status, body } = read(text, [Math.floor(text.length / 2)]);
        expect([status, body.length <= text.length]).toEqual([200, true]);
      } catch (e) {
        expect(e).toBeInstanceOf(Error);
        expect((e as Error).name).toBe('Error');
      }
    }
  });
});
