/** What the end of a container that ended at once costs: the runtime deletes it one time. Needs root and runc. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRandom } from '#lib/base';
import { eventually, RuntimeHost } from './runtime-host.ts';

const program = join(tmpdir(), `berth-test-runtime-${realRandom.hex(6)}`);
const calls = `${program}.calls`;
let h: RuntimeHost;

/** Runc, which notes what it is asked. */
beforeAll(async () => {
  writeFileSync(calls, '');
  writeFileSync(program, `#!/bin/sh\necho "$*" >> ${calls}\nexec runc "$@"\n`, { mode: 0o755 });
  h = await RuntimeHost.open(program);
});
afterAll(async () => {
  await h.close();
  for (const path of [program, calls]) rmSync(path);
});

const deletes = (id: string): number =>
  readFileSync(calls, 'utf8')
    .split('\n')
    .filter((line) => line.includes(' delete ') && line.includes(id)).length;

test.each([
  ['ends at once', ['true']],
  ['ends a little later', ['sleep', '0.3']],
])('a program that %s is deleted one time', async (_, args) => {
  const o = h.container(args);
  await h.runtime.start(o, h.c);
  await eventually('it has ended', async () =>
    (await h.runtime.state(o.id, h.c))?.phase === 'exited' ? true : undefined,
  );
  await h.runtime.remove(o.id, h.c);
  expect(deletes(o.id)).toBe(1);
});

test('what a supervisor that was killed has not deleted is deleted at the removal', async () => {
  const o = h.container(['sleep', '1000']);
  const { pid } = await h.runtime.start(o, h.c);
  const { supervisor } = JSON.parse(readFileSync(join(h.containers, o.id, 'started.json'), 'utf8')) as {
    supervisor: number;
  };
  process.kill(supervisor, 'SIGKILL');
  process.kill(pid, 'SIGKILL');
  await eventually('it has ended', async () =>
    (await h.runtime.state(o.id, h.c))?.phase === 'exited' ? true : undefined,
  );
  await h.runtime.remove(o.id, h.c);
  expect(deletes(o.id)).toBeGreaterThan(0);
});
