/**
 * `npm run bench`: our figures and those of whatever peers are installed, in one run, medians and ratios. It starts a cluster
 * of its own (own instance and ports), measures it, and removes it. Flags: --quick (fewer rounds), --json FILE.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startCluster } from '../harness/cluster.ts';
import { createToRunning, idleMemory, memoryPerPod, rollOut, upToPage } from './cluster.ts';
import { rawRuntimes } from './peers.ts';
import { type Figure, table } from './report.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } } });
const rounds = values.quick ? 5 : 20;

const figures: Figure[] = [];
const add = (f: Figure): void => {
  figures.push(f);
  process.stdout.write(`${table([f])}\n`);
};

const peers = await rawRuntimes(values.quick ? 5 : 15);
for (const f of peers) add(f);
add(await upToPage());
const cluster = await startCluster({ name: 'b', sample: true });
try {
  add(await createToRunning(cluster, rounds));
  add(await rollOut(cluster, 50));
  add(await memoryPerPod(cluster, 50));
  add(await idleMemory(cluster, values.quick ? 5_000 : 60_000));
} finally {
  await cluster.stop();
}
process.stdout.write(`\n${table(figures)}\n`);
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, null, 2)}\n`);
