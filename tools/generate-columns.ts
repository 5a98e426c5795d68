/** `tsx tools/generate-columns.ts`: rewrites lib/api/gen/columns.ts from ../shared/data/kubernetes-columns.json. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Column {
  name: string;
  type: string;
  format?: string;
  priority?: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));

/** The text of lib/api/gen/columns.ts. */
export function columnsModule(json: string): string {
  const { columns } = JSON.parse(json) as { columns: Record<string, Column[]> };
  const rows = Object.entries(columns).map(([key, list]) => {
    const cells = list.map((c) => {
      const format = c.format ?? '';
      return `{ name: '${c.name}', type: '${c.type}', format: '${format}', priority: ${c.priority ?? 0} }`;
    });
    return `  ${key}: [\n    ${cells.join(',\n    ')},\n  ],`;
  });
  return [
    '// Made by tools/generate-columns.ts from the fact tables; do not edit.',
    'export const COLUMNS = {',
    ...rows,
    '} as const;',
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(
    `${root}/lib/api/gen/columns.ts`,
    columnsModule(readFileSync(`${root}/../shared/data/kubernetes-columns.json`, 'utf8')),
  );
