import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import {
  clusterAccess,
  mergeKubeconfig,
  newKubeconfig,
  parseKubeconfig,
  readKubeconfig,
  removeContext,
  writeKubeconfig,
} from './kubeconfig.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-kubeconfig-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const berth = newKubeconfig({
  name: 'berth',
  server: 'https://1.2.3.4:6443',
  caPem: 'CA',
  certPem: 'CERT',
  keyPem: 'KEY',
});

test('kubeconfig: written readable by its owner only, read back the same', async () => {
  const path = join(folder, 'config');
  await writeKubeconfig(path, berth);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const read = await readKubeconfig(path);
  expect(read).toEqual(berth);
  expect(await clusterAccess(read)).toEqual({
    server: 'https://1.2.3.4:6443',
    caPem: 'CA',
    certPem: 'CERT',
    keyPem: 'KEY',
    insecureSkipTlsVerify: undefined,
    tlsServerName: undefined,
    token: undefined,
    namespace: '',
  });
});

test('kubeconfig: merging keeps what the user has, and the current context unless asked', async () => {
  const text = `
apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: mine
clusters: [{name: c, cluster: {server: https://x, extensions: []}}, {name: berth, cluster: {server: https://old}}]
users: [{name: u, user: {exec: {command: login}}}]
contexts: [{name: mine, context: {cluster: c, user: u, namespace: n}}]
`;
  const mine = await parseKubeconfig(text);
  const merged = mergeKubeconfig(mine, berth, { setCurrent: false });
  expect(merged).toMatchObject({ preferences: { colors: true }, 'current-context': 'mine' });
  expect(merged.clusters).toEqual([mine.clusters[0], berth.clusters[0]]);
  expect(merged.users[0]).toEqual({ name: 'u', user: { exec: { command: 'login' } } });
  expect(mergeKubeconfig(mine, berth, { setCurrent: true })['current-context']).toBe('berth');
  const removed = removeContext(merged, 'berth');
  expect(removed.contexts.map((x) => x.name)).toEqual(['mine']);
  expect(removed.clusters.map((x) => x.name)).toEqual(['c']);
  expect(removed.users.map((x) => x.name)).toEqual(['u']);
});

test('kubeconfig: files beside it are read; what is missing is named', async () => {
  await writeFile(join(folder, 'ca.crt'), 'CA2');
  const path = join(folder, 'config');
  const config = await parseKubeconfig(`
current-context: a
clusters: [{name: c, cluster: {server: https://x, certificate-authority: ca.crt}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: a, context: {cluster: c, user: u, namespace: n}}, {name: b, context: {cluster: gone, user: u}}]
`);
  expect(await clusterAccess(config, { path })).toMatchObject({ caPem: 'CA2', token: 'secret', namespace: 'n' });
  await expect(clusterAccess(config, { context: 'b' })).rejects.toThrow('no cluster "gone"');
  await expect(clusterAccess(config, { context: 'z' })).rejects.toThrow('no context "z"');
  await expect(readKubeconfig(join(folder, 'nope'))).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
  await expect(parseKubeconfig('- a')).rejects.toThrow('must be a YAML mapping');
});
