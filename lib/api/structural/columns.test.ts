import { describe, expect, test } from 'vitest';
import { customColumns } from './columns.ts';

const NOW = Date.parse('2024-01-02T00:00:00Z');
const OBJECT = {
  metadata: { name: 'w', creationTimestamp: '2024-01-01T00:00:00Z' },
  spec: { size: 3, ratio: 0.5, on: true, tags: ['a', 'b'], none: null },
  status: { at: 'soon', conditions: [{ type: 'Ready', status: 'True' }] },
};

function cellOf(type: string, jsonPath: string): unknown {
  return customColumns([{ name: 'C', type, jsonPath }]).cells(OBJECT, NOW)[1];
}

describe('customColumns', () => {
  test('without columns: name and age', () => {
    const c = customColumns(undefined);
    expect(c.columns.map((x) => x.name)).toEqual(['Name', 'Age']);
    expect(c.cells(OBJECT, NOW)).toEqual(['w', '24h']);
  });

  test('definitions of columns', () => {
    const c = customColumns([{ name: 'Size', type: 'integer', jsonPath: '.spec.size', priority: 1, format: 'int32' }]);
    expect(c.columns[1]).toEqual({
      name: 'Size',
      type: 'integer',
      format: 'int32',
      description: 'Custom resource definition column (in JSONPath format): .spec.size',
      priority: 1,
    });
  });

  const cells: readonly (readonly [type: string, path: string, cell: unknown])[] = [
    ['integer', '.spec.size', 3],
    ['integer', '.spec.ratio', 0],
    ['integer', '.spec.on', null],
    ['number', '.spec.ratio', 0.5],
    ['boolean', '.spec.on', true],
    ['boolean', '.spec.size', null],
    ['string', '.spec.size', '3'],
    ['string', '.spec.on', 'true'],
    ['string', '.spec.tags', '["a","b"]'],
    ['string', '.spec.none', '<no value>'],
    ['string', '.spec.missing', null],
    ['string', '.status.conditions[?(@.type=="Ready")].status', 'True'],
    ['date', '.metadata.creationTimestamp', '24h'],
    ['date', '.status.at', '<invalid>'],
    ['date', '.spec.size', null],
  ];
  test.each(cells)('%s of %s', (type, path, cell) => {
    expect(cellOf(type, path)).toEqual(cell);
  });

  test('a path that does not parse ends the columns', () => {
    const c = customColumns([
      { name: 'A', type: 'string', jsonPath: '.spec.size' },
      { name: 'B', type: 'string', jsonPath: '.spec[' },
      { name: 'C', type: 'string', jsonPath: '.spec.on' },
    ]);
    expect(c.cells(OBJECT, NOW)).toEqual(['w', '3']);
    expect(c.columns).toHaveLength(2);
  });
});
