/** What `npm run up` does about a library that it only wants: a copy of tools/run.mjs, with an apt-get and places of its own. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'berth-run-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const CHANGES: readonly (readonly [RegExp, string])[] = [
  [/'\/usr\/lib\/[^']*libjemalloc[^']*'/g, "'/nowhere'"],
  [/^const POLICY = .*$/m, "const POLICY = process.env['POLICY'];"],
  [/^const WANTED_DOWNLOAD_MS = .*$/m, 'const WANTED_DOWNLOAD_MS = 500;'],
  [/process\.getuid\?\.\(\) === 0/g, 'true'],
  [/^ {2}main\(\);$/m, "  ensurePackages([]);\n  process.stdout.write('went on');"],
];

function up(aptGet: string, policy = join(folder, 'policy')): { status: number | null; said: string; asked: string[] } {
  const [bin, log] = [join(folder, 'bin'), join(folder, 'log')];
  mkdirSync(bin, { recursive: true });
  writeFileSync(log, '');
  writeFileSync(join(bin, 'apt-get'), `#!/bin/sh\necho "$*" >>'${log}'\n${aptGet}\n`);
  chmodSync(join(bin, 'apt-get'), 0o755);
  let text = readFileSync(fileURLToPath(new URL('run.mjs', import.meta.url)), 'utf8');
  for (const [from, to] of CHANGES) text = text.replace(from, to);
  const program = join(folder, 'run.mjs');
  writeFileSync(program, text);
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, POLICY: policy };
  const { status, stdout } = spawnSync(process.execPath, [program], { env, timeout: 20_000, encoding: 'utf8' });
  expect(existsSync(policy)).toBe(false);
  return { status, said: stdout, asked: readFileSync(log, 'utf8').trim().split('\n') };
}

test.each([
  ['fails', 'exit 100'],
  ['is killed', 'kill -9 $$'],
  ['waits for a network that swallows packets', 'exec sleep 60'],
])('an apt-get that %s keeps nobody from going on', (_, script) => {
  const { status, said, asked } = up(script);
  expect([status, said]).toEqual([0, 'installing libjemalloc2\ngoing on without libjemalloc2\nwent on']);
  expect(asked).toEqual([expect.stringContaining('--download-only')]);
});

test('nor does a system that is read-only', () => {
  expect(up('exit 0', '/proc/none/policy')).toMatchObject({ status: 0, said: expect.stringContaining('went on') });
});

test('what was downloaded is installed without a time limit; Ctrl-C ends it all', () => {
  const { status, said, asked } = up('case "$*" in *download*) ;; *) sleep 1 ;; esac');
  expect([status, said, asked.length]).toEqual([0, 'installing libjemalloc2\nwent on', 2]);
  expect(up('exit 130')).toMatchObject({ status: 130, said: 'installing libjemalloc2\n' });
});
