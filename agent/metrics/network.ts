/** Counters of network interfaces, as the kernel tells them of the network namespace of one process. */
import { readFile } from 'node:fs/promises';

export interface InterfaceUsage {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** Source: cadvisor container/libcontainer/handler.go (isIgnoredDevice), and our own ends of pods' links (agent/network/names.ts). */
const IGNORED = /^(lo$|veth|docker|v.*[0-9a-f]{8}$)/;

/** proc(5): /proc/PID/net/dev. Without loopback, and on the node without pods' links. */
export function parseNetDev(text: string): readonly InterfaceUsage[] {
  const out: InterfaceUsage[] = [];
  for (const line of text.split('\n').slice(2)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim();
    if (colon < 0 || name === '' || IGNORED.test(name)) continue;
    const n = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const at = (i: number): number => n[i] ?? 0;
    out.push({
      name,
      rxBytes: at(0),
      rxPackets: at(1),
      rxErrors: at(2),
      rxDropped: at(3),
      txBytes: at(8),
      txPackets: at(9),
      txErrors: at(10),
      txDropped: at(11),
    });
  }
  return out;
}

/** Of the network namespace that the process is in; undefined when it is gone. */
export async function interfacesOf(pid: number | 'self'): Promise<readonly InterfaceUsage[] | undefined> {
  const text = await readFile(`/proc/${pid}/net/dev`, 'utf8').catch(() => undefined);
  return text === undefined || text === '' ? undefined : parseNetDev(text);
}
