import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { headerOf, objectsText, rowOf } from './objects.ts';
import { GrowingTable, textTable } from './table.ts';

test('table: columns as wide as their widest cell, nothing behind the last', () => {
  expect(textTable([])).toBe('');
  expect(
    textTable([
      ['NAME', 'AGE', 'NOTE'],
      ['a-long-name', '1s', ''],
      ['b', '100s', 'x'],
    ]),
  ).toBe('NAME          AGE    NOTE\na-long-name   1s\nb             100s   x\n');
});

test('growing table: later rows keep the columns of earlier ones', () => {
  const t = new GrowingTable();
  expect(
    t.add([
      ['NAME', 'AGE'],
      ['long-name', '1s'],
    ]),
  ).toBe('NAME        AGE\nlong-name   1s\n');
  expect(t.add([['a', '2s']])).toBe('a           2s\n');
});

test('table cells: absent ones are told, line breaks do not break the row, wide columns only when asked', () => {
  const columns = [{ name: 'Name' }, { name: 'IP', priority: 1 }, { name: 'Data', priority: 0 }];
  const row = { cells: ['a', null, 'x\ny'], object: { metadata: { namespace: 'n', labels: { b: '2', a: '1' } } } };
  const view = { wide: false, withNamespace: false, showLabels: false };
  expect([headerOf(columns, view), rowOf(row, columns, view)]).toEqual([
    ['NAME', 'DATA'],
    ['a', 'x\\ny'],
  ]);
  const all = { wide: true, withNamespace: true, showLabels: true, namePrefix: 'pod/' };
  expect([headerOf(columns, all), rowOf(row, columns, all)]).toEqual([
    ['NAMESPACE', 'NAME', 'IP', 'DATA', 'LABELS'],
    ['n', 'pod/a', '<none>', 'x\\ny', 'a=1,b=2'],
  ]);
});

test('yaml: reads back the same, also for readers of YAML 1.1; no directive, no anchors', async () => {
  const shared = { a: 'yes', b: '0123', c: 'multi\nline\n' };
  const object = {
    apiVersion: 'v1',
    kind: 'X',
    metadata: { name: 'n', managedFields: [] },
    data: shared,
    again: shared,
    t: '2026-01-01',
  };
  const text = await objectsText([object], { format: 'yaml', alone: true, managedFields: false });
  expect(text).not.toMatch(/^%|&|---/m);
  for (const version of ['1.1', '1.2'] as const)
    expect(parse(text, { version })).toEqual({ ...object, metadata: { name: 'n' } });
  const many = await objectsText([object, object], { format: 'json', alone: false, managedFields: true });
  expect(JSON.parse(many)).toMatchObject({ kind: 'List', items: [{ metadata: { managedFields: [] } }, {}] });
});
