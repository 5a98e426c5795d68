import { describe, expect, test } from 'vitest';
import { JSON_DEPTH_MAX } from './json-depth.ts';
import { readYaml, writeYaml } from './yaml.ts';

/** Each line as `kubectl patch --local -p '{}' -o json` 1.36 gives it back. */
const AS_KUBECTL: [string, unknown][] = [
  ['2020-01-01', '2020-01-01'],
  ['2001-12-14t21:59:43.10-05:00', '2001-12-14t21:59:43.10-05:00'],
  ['12:30:45', '12:30:45'],
  ['22:22', '22:22'],
  ['190:20:30.15', '190:20:30.15'],
  ['yes', true],
  ['Off', false],
  ['y', true],
  ['n', false],
  ['0644', 420],
  ['0o644', 420],
  ['0b11', 3],
  ['0x1F', 31],
  ['1_000', 1000],
  ['1e3', 1000],
  ['+1', 1],
  ['5.', 5],
  ['~', null],
  ['!!binary aGVsbG8=', 'hello'],
  ['!!str 5', '5'],
  ['"on"', 'on'],
];

describe('yaml', () => {
  test.each(AS_KUBECTL)('%s is read as Kubernetes reads it', async (text, value) => {
    expect(await readYaml(`a: ${text}\n`)).toEqual([{ value: { a: value }, mistake: undefined }]);
  });

  test('what was written is read back as it was, whatever it looks like', async () => {
    const texts = ['on', 'y', '0644', '0o644', '12:30', '2020-01-01', '1e3', '~', 'null', '', ' x', 'a: b', 'a\nb\n'];
    const value = { texts, numbers: [1, 0.5, -3], nothing: null, yes: true };
    expect((await readYaml(await writeYaml(value)))[0]?.value).toEqual(value);
  });

  test.each([300, 302, JSON_DEPTH_MAX])('what nests %d deep is written, and is the same', async (depth) => {
    let value: unknown = 1;
    for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
    const text = await writeYaml(value);
    if (depth > 300) expect(JSON.parse(text)).toEqual(value);
    else expect((await readYaml(text))[0]?.value).toEqual(value);
  });

  test('several documents, merge keys and anchors; a mistake has its place', async () => {
    const found = await readYaml('a: &x {b: 1}\n---\n# nothing\n---\nc: &y {b: 1}\nd: {<<: *y, e: 2}\n');
    expect(found.map((d) => d.value)).toEqual([{ a: { b: 1 } }, null, { c: { b: 1 }, d: { b: 1, e: 2 } }]);
    expect((await readYaml('a: 1\nb: [\n'))[0]?.mistake?.message).toMatch(/line \d+, column \d+/);
  });
});
