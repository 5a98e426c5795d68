/** Bridges in the kernel, by a recorder in the place of iproute2 and nft. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import type { Programs } from '../../kernel/kernel.ts';
import { Fabric } from './fabric.ts';
import { bridgeName, engineNames } from './names.ts';
import type { NetworkRecord } from './record.ts';
import { NetworkState } from './state.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const names = engineNames('default');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-fabric-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function network(link: string): NetworkRecord {
  const pool = { family: 4, subnet: '10.1.0.0/24', range: '', gateway: '10.1.0.1', aux: {}, isByUser: true } as const;
  return {
    ...{ id: 'a'.repeat(64), name: 'net', driver: 'bridge', createdAtMs: 0, isInternal: false, isAttachable: false },
    ...{ hasIpv4: true, hasIpv6: false, labels: {}, options: {}, ipamOptions: {}, pools: [pool], link },
  };
}

/** `link`: what `ip -j link show` says of the one that is asked for. */
async function opened(link: object | undefined): Promise<{ fabric: Fabric; batches: string[] }> {
  const batches: string[] = [];
  const programs: Programs = {
    run: async (argv, { stdin = '' }) => {
      if (argv.includes('-batch')) batches.push(stdin.toString());
      const stdout = argv.includes('-j') && link !== undefined ? JSON.stringify([link]) : '';
      return { code: 0, stdout: Buffer.from(stdout), stderr: Buffer.alloc(0) };
    },
  };
  return { fabric: new Fabric(programs, await NetworkState.open(folder, silentLogger), names, c), batches };
}

test.each([
  ['is no bridge', { ifname: 'wg0', linkinfo: { info_kind: 'wireguard' } }],
  ['was not made by this engine', { ifname: 'wg0', linkinfo: { info_kind: 'bridge' } }],
  ['was not made by this engine', { ifname: 'wg0', ifalias: 'berth-other', linkinfo: { info_kind: 'bridge' } }],
])('a bridge named as a link of the host, which %s: refused, and the link stays', async (why, link) => {
  const { fabric, batches } = await opened(link);
  await expect(fabric.ensureBridge(network('wg0'), c)).rejects.toThrow(why);
  // As a failed creation is undone, and as a network's removal.
  await fabric.removeBridge(network('wg0'), c);
  expect(batches).toEqual([]);
});

test.each([
  ['of a name that the user chose', 'web0', { ifalias: names.comment }],
  ['that a crash left without its mark', bridgeName(names, 'a'.repeat(64)), {}],
])('a bridge %s is taken over, and goes with its network', async (_, name, more) => {
  const { fabric, batches } = await opened({ ifname: name, linkinfo: { info_kind: 'bridge' }, ...more });
  await fabric.ensureBridge(network(name), c);
  expect(fabric.isMade('a'.repeat(64))).toBe(true);
  expect(batches.join('')).not.toContain('link add');
  await fabric.removeBridge(network(name), c);
  expect(batches.at(-1)).toBe(`link del ${name}\n`);
});
