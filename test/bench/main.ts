/**
 * `npm run bench`: our figures and those of whatever peers are installed, in one run, medians and ratios. It starts a cluster
 * of its own (own instance and ports), and a dockerd of its own where one is installed, measures, and removes both.
 * Flags: --quick (fewer rounds, shorter rest), --only api (the API server alone), pull (images alone), registry, engine (the docker CLI
 * against `berth engine` and dockerd) or node (a node alone), --json FILE.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startCluster } from '../harness/cluster.ts';
import { apiFigures } from './api/figures.ts';
import { createToRunning, idleMemory, memoryAfterUp, memoryPerPod, rollOut, scaleUp, upToPage } from './cluster.ts';
import { engineFigures } from './engine.ts';
import { engines } from './engines.ts';
import { nodeFigures } from './node.ts';
import { pulls } from './pull.ts';
import { registryFigures } from './registry.ts';
import { type Figure, RECORDED, ratios, table } from './report.ts';
import { rawRuntimes } from './runtimes.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' }, json: { type: 'string' } },
});
if (values.only !== undefined && !['api', 'pull', 'registry', 'engine', 'node'].includes(values.only))
  throw new Error(`--only ${values.only}: one of api, pull, registry, engine, node`);
const rounds = values.quick ? 5 : 20;
const restMs = values.quick ? 5_000 : 60_000;

const figures: Figure[] = [];
const add = (f: Figure): void => {
  figures.push(f);
  process.stdout.write(`${table([f])}\n`);
};

if (values.only === undefined || values.only === 'api') await apiFigures(values.quick ? 2_000 : 5_000, add);
if (values.only === undefined || values.only === 'pull') await pulls(values.quick ? 3 : 7, add);
if (values.only === undefined || values.only === 'registry') await registryFigures(values.quick ? 3 : 7, add);
if (values.only === undefined || values.only === 'engine') await engineFigures(rounds, add);
if (values.only === undefined || values.only === 'node')
  await nodeFigures({ rounds, restMs: values.quick ? 5_000 : 30_000 }, add);
if (values.only === undefined) await engineAndCluster();

process.stdout.write(`\n${table(figures)}\n\n${ratios(figures)}\n`);
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, null, 2)}\n`);

async function engineAndCluster(): Promise<void> {
  for (const f of await rawRuntimes(rounds)) add(f);
  await engines(rounds, add);
  add(await upToPage());
  const cluster = await startCluster({ name: 'b', sample: true });
  try {
    add(await memoryAfterUp(cluster, restMs));
    add(await createToRunning(cluster, rounds));
    add(await rollOut(cluster, 50));
    for (const f of await memoryPerPod(cluster, 50)) add(f);
    add(await scaleUp(cluster, 10, 50));
    add(await idleMemory(cluster, restMs));
  } finally {
    await cluster.stop();
  }
  figures.push(...RECORDED);
}
