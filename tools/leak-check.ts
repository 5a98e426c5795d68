/**
 * What tests may not leave behind: processes of ours, mounts, network namespaces, links, nft tables, cgroups. `snapshot()`
 * before a suite, `findLeaks(before)` after it: what is new and bears one of our names is a leak.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';

export type Snapshot = ReadonlyMap<string, string>;

const OUR_PROCESS = /berth|\betcd\b.*(berth|vitest)|nats-server.*(berth|vitest)/;
/** A cluster's cgroups bear the name of its instance, which is any: so all new ones count but those of other engines. */
const OTHERS_CGROUP = /^(docker|libpod_parent|conmon|buildah|[^/]*\.(slice|scope|service))/;

export function snapshot(): Snapshot {
  const seen = new Map<string, string>();
  for (const [id, text] of [
    ...processes(),
    ...mounts(),
    ...listed('netns', 'ip', ['netns', 'list']),
    ...links(),
    ...tables(),
    ...cgroups(),
    ...folders(),
  ])
    seen.set(id, text);
  return seen;
}

/** Leaks since `before`, in words, of those that `isMeant`. Waits up to 15 seconds for what is still ending. */
export function findLeaks(before: Snapshot, isMeant: (text: string) => boolean = () => true): string[] {
  for (let attempt = 0; ; attempt++) {
    const leaks = [...snapshot()].filter(([id, text]) => !before.has(id) && isMeant(text)).map(([, text]) => text);
    if (leaks.length === 0 || attempt === 75) return leaks;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

type Found = [id: string, text: string];

function processes(): Found[] {
  const out: Found[] = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid || Number(pid) === process.ppid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const start = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19];
      const isOurs = OUR_PROCESS.test(command) && !/vitest|tsx|esbuild|biome|npm |tools\/(run|test)/.test(command);
      if (isOurs) out.push([`process ${pid} ${start}`, `process ${pid}: ${command.slice(0, 160)}`]);
    } catch {
      // It ended between the two reads.
    }
  }
  return out;
}

function mounts(): Found[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((l) => /berth/.test(l))
    .map((l): Found => [`mount ${l}`, `mount ${l.slice(0, 160)}`]);
}

function links(): Found[] {
  const text = output('ip', ['-o', 'link']);
  return text
    .split('\n')
    .map((l) => /^\d+: ([^:@]+)/.exec(l)?.[1] ?? '')
    .filter((n) => /^(berth|bth-|btx-|v[0-9a-f]{14}$|b[a-z0-9]+-h)/.test(n))
    .map((n): Found => [`link ${n}`, `link ${n}`]);
}

function tables(): Found[] {
  return output('nft', ['list', 'tables'])
    .split('\n')
    .filter((l) => /berth/.test(l))
    .map((l): Found => [`nft ${l}`, `nft ${l}`]);
}

function cgroups(): Found[] {
  const out: Found[] = [];
  const roots = ['/sys/fs/cgroup', ...safeList('/sys/fs/cgroup').map((n) => `/sys/fs/cgroup/${n}`)];
  for (const r of roots)
    for (const n of safeList(r))
      if (!OTHERS_CGROUP.test(n) && isFolder(`${r}/${n}`)) out.push([`cgroup ${r}/${n}`, `cgroup ${r}/${n}`]);
  return out;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Temporary folders of ours. */
function folders(): Found[] {
  return safeList(tmpdir())
    .filter((n) => n.startsWith('berth-'))
    .map((n): Found => [`folder ${n}`, `folder ${tmpdir()}/${n}`]);
}

function listed(what: string, program: string, args: string[]): Found[] {
  return output(program, args)
    .split('\n')
    .filter((l) => l !== '')
    .map((l): Found => [`${what} ${l.split(' ')[0]}`, `${what} ${l}`]);
}

function output(program: string, args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return ''; // The program is not on this machine, so it can have left nothing.
  }
}

function safeList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Not a folder of this kind of host.
  }
}
