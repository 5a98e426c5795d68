/**
 * Names of instances whose ports and address blocks no other worker's clusters have at the same time: both follow from the hash of
 * the name (cli/layout.ts), and there are only 64 blocks.
 */
import { defaultCidrs, defaultPorts } from '../../cli/layout.ts';

/** More than there are workers in any suite (vitest.config.ts). */
const LANES = 4;
const PORTS_A_BLOCK = 10;

/** The first of `name(start)`, `name(start + 1)`, … that is this worker's own. */
export function instanceOfWorker(start: number, name: (n: number) => string): string {
  const lane = Number(process.env['VITEST_POOL_ID'] ?? 0) % LANES;
  for (let n = start; ; n++) {
    const instance = name(n);
    const ports = defaultPorts(instance).apiPort / PORTS_A_BLOCK;
    const octet = Number(defaultCidrs(instance).clusterCidr.split('.')[1]) / 2;
    if (ports % LANES === lane && octet % LANES === lane) return instance;
  }
}
