/** Memory of processes as PSS: shared pages counted once over all who share them. */
import { readdir, readFile } from 'node:fs/promises';

export interface ProcessMemory {
  readonly pid: number;
  readonly parent: number;
  /** Words of the command line. */
  readonly words: readonly string[];
  readonly pssKb: number;
}

/** Of all processes whose words and parent `choose` accepts; parents come before their children. */
export async function processes(choose: (p: Omit<ProcessMemory, 'pssKb'>) => boolean): Promise<ProcessMemory[]> {
  const out: ProcessMemory[] = [];
  const pids = (await readdir('/proc')).filter((n) => /^\d+$/.test(n)).map(Number);
  for (const pid of pids) {
    const words = (await text(`/proc/${pid}/cmdline`)).split('\0');
    const parent = Number(/^PPid:\s+(\d+)/m.exec(await text(`/proc/${pid}/status`))?.[1] ?? 0);
    const p = { pid, parent, words };
    if (!choose(p)) continue;
    const rollup = await text(`/proc/${pid}/smaps_rollup`);
    out.push({ ...p, pssKb: Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) });
  }
  return out;
}

export function totalMb(found: readonly ProcessMemory[]): number {
  return found.reduce((sum, p) => sum + p.pssKb, 0) / 1024;
}

async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
