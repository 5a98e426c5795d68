/** `tsx tools/generate-api.ts [outDir]`: rewrites lib/api/gen from ../shared/data. */
import { fileURLToPath } from 'node:url';
import { generateTypes } from './generate-types.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
generateTypes(`${root}/../shared/data`, process.argv[2] ?? `${root}/lib/api/gen`);
