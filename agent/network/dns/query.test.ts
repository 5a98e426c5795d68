import { encode, type Packet } from 'dns-packet';
import { expect, test } from 'vitest';
import { seededRandom } from '#lib/base';
import { parseQuery } from './query.ts';

const OPT = {
  ...{ name: '.', type: 'OPT' as const, udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0, flags: 0 },
  ...{ flag_do: false, options: [] },
};

function query(o: Packet = {}): Buffer {
  return encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name: 'Web.example', type: 'A' }], ...o });
}

/** A header with one question and `additionals`, then these bytes. */
function raw(bytes: readonly (number | string)[], additionals = 0): Buffer {
  const header = Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, additionals]);
  return Buffer.concat([
    header,
    ...bytes.map((b) => (typeof b === 'string' ? Buffer.from(b, 'latin1') : Buffer.from([b]))),
  ]);
}
const A_IN = [0, 1, 0, 1];

test('a question: its text, its bytes as they were spelled, the size of EDNS0', () => {
  expect(parseQuery(query())).toEqual({
    ...{ id: 7, isRecursionDesired: true, edns: undefined },
    section: Buffer.from('\x03Web\x07example\x00\x00\x01\x00\x01'),
    question: { name: 'Web.example', type: 'A', class: 'IN' },
  });
  expect(parseQuery(query({ flags: 0, additionals: [OPT] }))).toMatchObject({
    isRecursionDesired: false,
    edns: { udpBytes: 1232 },
  });
  expect(parseQuery(raw([0, ...A_IN]))?.question?.name).toBe('.');
});

test.each<[string, Buffer]>([
  ['no question', query({ questions: [] })],
  ['two questions', query({ questions: [1, 2].map((n) => ({ name: `n${n}`, type: 'A' })) })],
  ['answers', query({ answers: [{ name: 'a', type: 'A', data: '1.1.1.1' }] })],
  ['authorities', query({ authorities: [{ name: 'a', type: 'A', data: '1.1.1.1' }] })],
  [
    'five additional records',
    query({
      additionals: Array.from({ length: 5 }, () => ({ ...OPT, name: 'x', type: 'A', data: '1.1.1.1' }) as const),
    }),
  ],
  ['two EDNS0 records', query({ additionals: [OPT, OPT] })],
  ['an EDNS0 record with a name', raw([1, 'a', 0, ...A_IN, 1, 'x', 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0], 1)],
  ['a pointer to itself', raw([0xc0, 12, ...A_IN])],
  ['a pointer into the header', raw([1, 'a', 0xc0, 0, ...A_IN])],
  ['a pointer ahead', raw([0xc0, 18, ...A_IN, 1, 'a', 0])],
  ['a label of 64 bytes', raw([64, 'a'.repeat(64), 0, ...A_IN])],
  ['a label kind that is reserved', raw([0x80, 1, 0, ...A_IN])],
  [
    'a name of 256 bytes',
    raw([...Array.from({ length: 3 }, () => [63, 'a'.repeat(63)]).flat(), 62, 'a'.repeat(62), 0, ...A_IN]),
  ],
  ['a name that does not end', raw([3, 'ab'])],
  ['no type and class', raw([1, 'a', 0, 0, 1, 0])],
  ['an additional record without an end', raw([1, 'a', 0, ...A_IN, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0], 1)],
  ['an additional record with more data than came', raw([1, 'a', 0, ...A_IN, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 1], 1)],
  ['an additional record that is not there', raw([1, 'a', 0, ...A_IN], 1)],
])('no question: %s', (_, message) => {
  expect(parseQuery(message)).toBeUndefined();
});

test('the longest name there may be', () => {
  const labels = Array.from({ length: 3 }, () => [63, 'a'.repeat(63)]).flat();
  expect(parseQuery(raw([...labels, 61, 'a'.repeat(61), 0, ...A_IN]))?.section).toHaveLength(255 + 4);
});

test.each<[string, string]>([
  ['a dot in a label', 'web.n1'],
  ['a line end', 'a\n'],
  ['a space', 'a b'],
  ['no UTF-8', 'a\xff'],
])('no text: %s', (_, label) => {
  const found = parseQuery(raw([label.length, label, 0, ...A_IN]));
  expect(found?.question).toBeUndefined();
  expect(found?.section.subarray(1, 1 + label.length).toString('latin1')).toBe(label);
});

test('text of other letters is text', () => {
  const label = Buffer.from('bücher').toString('latin1');
  expect(parseQuery(raw([label.length, label, 0, ...A_IN]))?.question?.name).toBe('bücher');
});

test('data of additional records is not looked at: pointers in it cost nothing', () => {
  // Each pointer leads to the one before it: a decoder that follows them takes 30,000 steps for each name.
  const chain = Buffer.alloc(60_000);
  for (let i = 1; i < chain.length / 2; i++) chain.writeUInt16BE(0xc000 + Math.min(0x3fff, 30 + 2 * (i - 1)), 2 * i);
  const record = Buffer.concat([Buffer.from([0, 0, 2, 0, 1, 0, 0, 0, 0, 0xea, 0x60]), chain]);
  const message = Buffer.concat([raw([1, 'a', 0, ...A_IN], 1), record]);
  expect(parseQuery(message)?.question?.name).toBe('a');
});

test('law: any bytes give a question whose section they hold, or none; never an error', () => {
  const random = seededRandom(271_828);
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    const message = Buffer.from(query({ additionals: [OPT] }));
    for (let n = random.below(4); n >= 0; n--) message[random.below(message.length)] = random.below(256);
    const parsed = parseQuery(message.subarray(0, 12 + random.below(message.length - 11)));
    if (parsed === undefined) continue;
    found++;
    expect(message.subarray(12, 12 + parsed.section.length)).toEqual(parsed.section);
  }
  expect(found).toBeGreaterThan(100);
});
