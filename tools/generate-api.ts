/** `tsx tools/generate-api.ts [outDir]`: rewrites lib/api/gen from ../shared/data. */
import { fileURLToPath } from 'node:url';
import { generateTable } from './generate-table.ts';
import { generateTypes } from './generate-types.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const outDir = process.argv[2] ?? `${root}/lib/api/gen`;
generateTypes(`${root}/../shared/data`, outDir);
generateTable(`${root}/../shared/data`, outDir);
