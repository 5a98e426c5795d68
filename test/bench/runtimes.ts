/** Raw runtimes, as far as they are installed: start of one container, by their own commands. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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
