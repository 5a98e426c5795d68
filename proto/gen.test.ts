import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { generateProto } from '../tools/generate-proto.ts';
import { findProtoFolder, loadAgentProto } from './load.ts';

const here = dirname(fileURLToPath(import.meta.url));

async function filesOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { recursive: true })).filter((n) => n.endsWith('.ts')).sort();
  return Object.fromEntries(await Promise.all(names.map(async (n) => [n, await readFile(join(folder, n), 'utf8')])));
}

test('proto/gen: generating again changes nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-proto-'));
  try {
    generateProto(folder);
    expect(await filesOf(folder)).toEqual(await filesOf(join(here, 'gen')));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('proto/load: finds the files beside itself, in a proto folder, and in a folder above', async () => {
  expect(findProtoFolder(here)).toBe(here);
  expect(findProtoFolder(join(here, '..'))).toBe(here);
  const folder = await mkdtemp(join(tmpdir(), 'berth-proto-'));
  try {
    await mkdir(join(folder, 'dist', 'proto'), { recursive: true });
    await writeFile(join(folder, 'dist', 'proto', 'agent.proto'), '');
    expect(findProtoFolder(join(folder, 'dist'))).toBe(join(folder, 'dist', 'proto'));
    expect(findProtoFolder(join(folder, 'dist', 'deep', 'deeper'))).toBe(join(folder, 'dist', 'proto'));
  } finally {
    await rm(folder, { recursive: true });
  }
  expect(() => findProtoFolder('/proc/self')).toThrow(/agent.proto/);
});

test('proto/load: both services are there', () => {
  const proto = loadAgentProto();
  expect(Object.keys(proto.Gateway.service)).toEqual([
    'Join',
    'Renew',
    'Session',
    'IssueToken',
    'MirrorPod',
    'PutCsiDriver',
    'ClaimResized',
  ]);
  expect(Object.keys(proto.Streams.service)).toEqual(['Open', 'Relay']);
});
