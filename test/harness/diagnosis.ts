/** What a cluster looked like when a test on it failed: a failure that does not come again is of use only with this. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { realClock } from '#lib/base';
import { run, type TestCluster } from './cluster.ts';

const LOOKS = [
  ['get', 'nodes', '-o', 'wide'],
  [
    'get',
    'nodes',
    '-o',
    'jsonpath={range .items[*]}{.metadata.name}{" "}{.spec.taints}{" "}{.status.conditions}{"\\n"}{end}',
  ],
  ['get', 'pods,replicasets,deployments', '-A', '-o', 'wide'],
  ['get', 'leases', '-A'],
  ['get', 'events', '-A'],
];
const LINES = 25;

/** Call it at the head of a test file. */
export function tellWhenFailed(cluster: () => TestCluster | undefined): void {
  afterEach(async (c) => {
    const t = cluster();
    if (c.task.result?.state === 'fail' && t !== undefined) process.stdout.write(await diagnose(t));
  });
}

async function diagnose(t: TestCluster): Promise<string> {
  const out = [`== the cluster at ${new Date(realClock.now()).toISOString()}`];
  for (const args of LOOKS) {
    const r = await run('kubectl', ['--request-timeout=5s', ...args], t.env, 10_000);
    out.push(`-- kubectl ${args.join(' ')}`, r.stdout + r.stderr);
  }
  const folder = join(t.layout.home, 'log');
  for (const name of await readdir(folder).catch(() => [])) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => '');
    out.push(
      `-- ${name}`,
      ...text
        .trimEnd()
        .split('\n')
        .slice(-LINES)
        .map((l) => l.slice(0, 400)),
    );
  }
  return `${out.join('\n')}\n`;
}
