/** All that an engine has on this machine outside its home, as a list of names: after its end there is none. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { engineNames } from '../../agent/engine/networks/names.ts';

const execute = promisify(execFile);

export async function engineRemains(o: { readonly instance: string; readonly home: string }): Promise<string[]> {
  const all = await Promise.all([mounts(o), cgroups(o), processes(o), links(o), rules(o)]);
  return all.flat();
}

async function mounts({ home }: { readonly home: string }): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const points = table.split('\n').map((l) => l.split(' ')[4] ?? '');
  return points.filter((p) => p.startsWith(`${home}/`)).map((p) => `mount ${p}`);
}

async function cgroups({ instance }: { readonly instance: string }): Promise<string[]> {
  const roots = ['/sys/fs/cgroup', ...(await folders('/sys/fs/cgroup'))];
  const found = await Promise.all(roots.map(folders));
  return [...new Set(found.flat())].filter((p) => p.includes(`/${instance}`)).map((p) => `cgroup ${p}`);
}

async function folders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((e) => e.isDirectory()).map((e) => join(path, e.name));
}

async function processes({ home }: { readonly home: string }): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((n) => /^\d+$/.test(n) && n !== String(process.pid));
  const lines = await Promise.all(pids.map((p) => readFile(`/proc/${p}/cmdline`, 'utf8').catch(() => '')));
  return lines.flatMap((l) => (l.includes(home) ? [`process ${l.replaceAll('\0', ' ').slice(0, 160)}`] : []));
}

/** Bridges and veths are named after the instance (networks/names.ts). */
async function links({ instance }: { readonly instance: string }): Promise<string[]> {
  const { stdout } = await execute('ip', ['-o', 'link']);
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].flatMap(([, name = '']) =>
    name.startsWith(engineNames(instance).prefix) ? [`link ${name}`] : [],
  );
}

async function rules({ instance }: { readonly instance: string }): Promise<string[]> {
  const { stdout } = await execute('nft', ['list', 'tables']).catch(() => ({ stdout: '' }));
  const marks = [instance, engineNames(instance).prefix];
  return stdout.split('\n').flatMap((l) => (marks.some((m) => l.includes(m)) ? [`nft ${l.trim()}`] : []));
}
