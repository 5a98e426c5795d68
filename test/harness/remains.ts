/** All that a node has on this machine, as a list of names: what is there before a pod's life and after it must be the same. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { networkNames } from '../../agent/network/names.ts';
import { runtimeStateFolder } from '../../agent/runtime-state.ts';

const execute = promisify(execFile);

export interface NodePlace {
  readonly instance: string;
  readonly home: string;
  readonly logFolder: string;
}

export async function remainsOf(o: NodePlace): Promise<Set<string>> {
  const names = networkNames(o.instance);
  const all = await Promise.all([
    paths('file', o.home),
    paths('log', o.logFolder),
    paths('runtime', runtimeStateFolder(o.instance)),
    mounts(o.home),
    cgroups(o.instance),
    links(names.vethPrefix),
    rules(names.table),
    addresses(join(o.home, 'network/addresses.json')),
    processes(o.home),
  ]);
  return new Set(all.flat());
}

async function paths(what: string, folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.map((e) => `${what} ${join(relative(folder, e.parentPath), e.name)}`);
}

async function mounts(home: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const points = table.split('\n').map((l) => l.split(' ')[4] ?? '');
  return points.filter((p) => p.startsWith(`${home}/`)).map((p) => `mount ${p}`);
}

async function cgroups(instance: string): Promise<string[]> {
  const roots = ['/sys/fs/cgroup', ...(await folders('/sys/fs/cgroup')).map((n) => `/sys/fs/cgroup/${n}`)];
  const below = async (path: string): Promise<string[]> => {
    const inner = await Promise.all((await folders(path)).map((n) => below(join(path, n))));
    return [`cgroup ${path}`, ...inner.flat()];
  };
  return (await Promise.all(roots.map((r) => below(join(r, instance))))).flat();
}

async function folders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((e) => e.isDirectory()).map((e) => e.name);
}

async function links(prefix: string): Promise<string[]> {
  const { stdout } = await execute('ip', ['-o', 'link']);
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].flatMap(([, name = '']) =>
    name.startsWith(prefix) ? [`link ${name}`] : [],
  );
}

async function rules(table: string): Promise<string[]> {
  const { stdout } = await execute('nft', ['list', 'table', 'ip', table]).catch(() => ({ stdout: '' }));
  return stdout.split('\n').map((l) => `nft ${l.trim()}`);
}

async function addresses(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '{}');
  const { held = {} } = JSON.parse(text) as { held?: object };
  return Object.keys(held).map((id) => `address of ${id}`);
}

/** By their command lines: supervisors, and what the helper runs for a pod. */
async function processes(home: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((n) => /^\d+$/.test(n));
  const lines = await Promise.all(pids.map((p) => readFile(`/proc/${p}/cmdline`, 'utf8').catch(() => '')));
  return lines.flatMap((l) => (l.includes(home) ? [`process ${l.replaceAll('\0', ' ').slice(0, 160)}`] : []));
}
