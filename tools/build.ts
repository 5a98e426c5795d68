/**
 * `npm run build`: one bundle with a chunk per lazily imported command (dist/berth.js), the proto files beside it, and the
 * native helper (dist/berth-helper).
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const REQUIRE =
  "import { createRequire as berthRequire } from 'node:module'; const require = berthRequire(import.meta.url);";
const DIRNAME =
  "import { fileURLToPath as berthPath } from 'node:url'; const __filename = berthPath(import.meta.url); const __dirname = berthPath(new URL('.', import.meta.url));";

await build({
  absWorkingDir: root,
  entryPoints: { berth: 'cli/main.ts', registry: 'services/registry/main.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  banner: { js: `${REQUIRE}${DIRNAME}` },
  chunkNames: 'chunks/[name]-[hash]',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
});
mkdirSync(`${root}/dist/proto`, { recursive: true });
for (const name of ['agent.proto', 'streams.proto']) cpSync(`${root}/proto/${name}`, `${root}/dist/proto/${name}`);
execFileSync('make', ['-s', '-C', `${root}/agent/native`], { stdio: 'inherit' });
