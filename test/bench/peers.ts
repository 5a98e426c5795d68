/** Raw runtimes and other engines, as far as they are installed: start of one container, by their own commands. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realClock } from '#lib/base';
import { run } from '../harness/cluster.ts';
import type { Figure } from './report.ts';

export async function rawRuntimes(rounds: number): Promise<Figure[]> {
  const out: Figure[] = [];
  for (const runtime of ['runc', 'crun']) {
    const figure = await rawRuntime(runtime, rounds);
    if (figure !== undefined) out.push(figure);
  }
  for (const engine of ['docker', 'podman']) {
    const figure = await engineRun(engine, rounds);
    if (figure !== undefined) out.push(figure);
  }
  return out;
}

async function rawRuntime(runtime: string, rounds: number): Promise<Figure | undefined> {
  if ((await run(runtime, ['--version'], {}, 5000)).code !== 0) return undefined;
  const bundle = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  try {
    await mkdir(join(bundle, 'rootfs/bin'), { recursive: true });
    await copyFile('/bin/busybox', join(bundle, 'rootfs/bin/sh'));
    await run('runc', ['spec', '-b', bundle], {}, 5000);
    const spec = join(bundle, 'config.json');
    const { readFile } = await import('node:fs/promises');
    const config = JSON.parse(await readFile(spec, 'utf8')) as { process: { args: string[]; terminal: boolean } };
    config.process.args = ['/bin/sh', '-c', 'true'];
    config.process.terminal = false;
    await writeFile(spec, JSON.stringify(config));
    const samples: number[] = [];
    for (let i = 0; i <= rounds; i++) {
      const begin = realClock.monotonic();
      const { code } = await run(runtime, ['run', '-b', bundle, `berth-bench-${process.pid}-${i}`], {}, 20_000);
      if (code !== 0) return undefined; // crun refuses hybrid cgroup hosts when run as it is.
      if (i > 0) samples.push(realClock.monotonic() - begin);
    }
    return { name: `${runtime} run true (raw)`, unit: 'ms', samples };
  } finally {
    await rm(bundle, { recursive: true, force: true });
  }
}

/** `run --rm` of an image made from scratch here; undefined where the engine does not answer. */
async function engineRun(engine: string, rounds: number): Promise<Figure | undefined> {
  if ((await run(engine, ['info'], {}, 20_000)).code !== 0) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  try {
    await copyFile('/bin/busybox', join(folder, 'busybox'));
    await writeFile(
      join(folder, 'Dockerfile'),
      'FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox"]\n',
    );
    const built = await run(engine, ['build', '-q', '-t', 'berth-bench:1', folder], { DOCKER_BUILDKIT: '0' }, 120_000);
    if (built.code !== 0) return undefined;
    const samples: number[] = [];
    for (let i = 0; i <= rounds; i++) {
      const begin = realClock.monotonic();
      const { code } = await run(engine, ['run', '--rm', 'berth-bench:1', 'true'], {}, 60_000);
      if (code !== 0) return undefined;
      if (i > 0) samples.push(realClock.monotonic() - begin);
    }
    return { name: `${engine} run --rm true`, unit: 'ms', samples };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
