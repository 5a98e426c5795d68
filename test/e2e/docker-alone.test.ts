/** `berth engine` without a cluster, as a process: what its end, its death and its successor do to containers. Needs root. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRandom } from '#lib/base';
import { eventually, run } from '../harness/cluster.ts';
import { engineRemains } from '../harness/engine-remains.ts';

const BERTH = fileURLToPath(new URL('../../bin/berth', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'berth-alone-'));
const instance = `a${realRandom.hex(3)}`;
const home = join(folder, 'home');
const socket = `/run/berth-${instance}/docker.sock`;
let engine: ChildProcess;

async function start(): Promise<void> {
  engine = spawn(BERTH, ['engine', '--instance', instance, '--home', home], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  engine.stdout?.on('data', (d: Buffer) => {
    said += d.toString();
  });
  await eventually('the engine says that it is ready', 20_000, async () =>
    said.includes(`DOCKER_HOST=unix://${socket}`),
  );
}

function end(signal: NodeJS.Signals): Promise<number | null> {
  const ended = new Promise<number | null>((resolve) => engine.once('exit', resolve));
  engine.kill(signal);
  return ended;
}

const env = { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: join(folder, 'docker') };
async function docker(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run('docker', args, env, 20_000);
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

beforeAll(async () => {
  await start();
  const root = join(folder, 'root');
  mkdirSync(join(root, 'bin'), { recursive: true });
  for (const name of ['sh', 'sleep']) copyFileSync('/bin/busybox', join(root, 'bin', name));
  expect((await run('tar', ['-C', root, '-cf', join(folder, 'root.tar'), '.'], {}, 20_000)).code).toBe(0);
  await docker('import', join(folder, 'root.tar'), 'box');
});
afterAll(async () => {
  if (engine.exitCode === null && engine.signalCode === null) await end('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
  rmSync(`/run/berth-${instance}`, { recursive: true, force: true });
});

test('containers run on when the engine ends or is killed; the next finds them, their exits too', async () => {
  const loop = 'trap "exit 7" TERM; sleep 1000 & wait';
  for (const name of ['one', 'two'])
    await docker('run', '-d', '--net', 'none', '--name', name, 'box', 'sh', '-c', loop);
  const pid = await docker('inspect', '-f', '{{.State.Pid}}', 'one');
  const other = Number(await docker('inspect', '-f', '{{.State.Pid}}', 'two'));
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const code = await end(signal);
    expect(code).toBe(signal === 'SIGTERM' ? 0 : null);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    if (signal === 'SIGKILL') process.kill(other, 'SIGKILL');
    await start();
    expect(await docker('inspect', '-f', '{{.State.Pid}} {{.State.Status}}', 'one')).toBe(`${pid} running`);
  }
  expect(await docker('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'two')).toBe('exited 137');
  await docker('stop', 'one');
  expect(await docker('wait', 'one')).toBe('7');
});

test('a second engine of the instance or the home is refused in words; TCP without certificates too', async () => {
  const second = (...args: string[]) => run(BERTH, ['engine', ...args], {}, 20_000);
  const same = await second('--instance', instance, '--home', join(folder, 'other'));
  expect(same.code).toBe(1);
  expect(same.stderr).toContain(`the Docker API of instance "${instance}" is served by process ${engine.pid}`);
  const open = await second('--instance', instance, '--tcp', '0.0.0.0:2375');
  expect([open.code, open.stderr]).toEqual([2, expect.stringContaining('missing: --tlscacert, --tlscert, --tlskey')]);
});

test('with nothing left it leaves nothing behind', async () => {
  await docker('rm', '-f', '-v', 'one', 'two');
  expect(await end('SIGTERM')).toBe(0);
  expect(await engineRemains({ instance, home })).toEqual([]);
  expect(existsSync(`/run/berth-runtime/${instance}-docker`)).toBe(false);
  expect(existsSync(socket)).toBe(false);
});
