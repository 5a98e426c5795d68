import { expect, test } from 'vitest';
import { EMPTY_SHA256, encodePath, queryText, signed } from './sign.ts';
import { elementsOf, escapeXml, textOf, textsOf } from './xml.ts';

const O = {
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
  region: 'us-east-1',
  nowMs: Date.parse('2013-05-24T00:00:00Z'),
};
const host = 'examplebucket.s3.amazonaws.com';

test.each([
  [
    'GET',
    '/test.txt',
    [],
    { range: 'bytes=0-9' },
    EMPTY_SHA256,
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    'GET',
    '/',
    [['lifecycle', '']],
    {},
    EMPTY_SHA256,
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    ...([
      'GET',
      '/',
      [
        ['prefix', 'J'],
        ['max-keys', '2'],
      ],
      {},
      EMPTY_SHA256,
    ] as const),
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
  [
    ...(['PUT', encodePath('/test$file.text'), []] as const),
    { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
    '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
] as const)(
  'signature: %s %s as in the documentation’s examples (sig-v4-header-based-auth)',
  (method, path, query, headers, bodySha256, signature) => {
    const given = headers as Readonly<Record<string, string>>;
    const { authorization } = signed({ method, host, path, query, headers: given, bodySha256 }, O);
    expect(authorization).toContain(`Signature=${signature}`);
  },
);

test('signature: a session token is sent and signed', () => {
  const credentials = { ...O.credentials, sessionToken: 'tok' };
  const out = signed(
    { method: 'GET', host, path: '/', query: [], headers: {}, bodySha256: EMPTY_SHA256 },
    { ...O, credentials },
  );
  expect(out['x-amz-security-token']).toBe('tok');
  expect(out['authorization']).toContain('x-amz-date;x-amz-security-token,');
});

test('queries are sorted and strictly encoded; slashes of paths stay', () => {
  expect(
    queryText([
      ['b', "a b+'"],
      ['a', 'x/y'],
      ['B', ''],
    ]),
  ).toBe('B=&a=x%2Fy&b=a%20b%2B%27');
  expect(encodePath('/a b/ü(1)')).toBe('/a%20b/%C3%BC%281%29');
});

test('xml: elements by name, entities undone, one name within another apart', () => {
  const xml = '<R><Key>a&amp;&lt;b&#x20AC;</Key><KeyCount>2</KeyCount><Key/><Key >c</Key><Open>';
  expect(textsOf(xml, 'Key')).toEqual(['a&<b€', '', 'c']);
  expect(textOf(xml, 'KeyCount')).toBe('2');
  expect(textOf(xml, 'None')).toBeUndefined();
  expect(elementsOf(xml, 'Open')).toEqual([]);
  expect(escapeXml('"<&')).toBe('&#34;&#60;&#38;');
});
