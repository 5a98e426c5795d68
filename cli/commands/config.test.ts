import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newKubeconfig, parseKubeconfig, readKubeconfig, writeKubeconfig } from '#lib/client';
import { findAccess, kubeconfigPaths } from '../client/access.ts';
import { dockerContextCommand } from './docker-context.ts';
import { kubeconfigCommand, userPath } from './kubeconfig.ts';

let folder: string;
let env: Record<string, string>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-config-'));
  env = { HOME: folder, BERTH_HOME: join(folder, 'state') };
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const cluster = (name: string) =>
  newKubeconfig({ name, server: `https://${name}:6443`, caPem: 'ca', token: `token-of-${name}` });

async function berthKubeconfig(): Promise<string> {
  await mkdir(join(folder, 'state'));
  const path = join(folder, 'state', 'kubeconfig');
  await writeKubeconfig(path, cluster('berth'));
  return path;
}

describe('kubeconfig', () => {
  test('its path and its contents', async () => {
    const path = await berthKubeconfig();
    expect(await kubeconfigCommand({ path: true }, env)).toBe(`${path}\n`);
    expect((await parseKubeconfig(await kubeconfigCommand({}, env)))['current-context']).toBe('berth');
  });

  test('merged into nothing it becomes the current one; the file is for its owner only', async () => {
    await berthKubeconfig();
    const own = join(folder, '.kube', 'config');
    expect(await kubeconfigCommand({ merge: true }, env)).toBe(
      `Context "berth" is in ${own}. It is the current one.\n`,
    );
    expect((await stat(own)).mode & 0o777).toBe(0o600);
  });

  test("merged into one's own: others stay, as does the current context unless it is asked to change; and out again", async () => {
    await berthKubeconfig();
    const own = join(folder, 'own');
    const env2 = { ...env, KUBECONFIG: `${own}:/elsewhere` };
    await writeFile(own, `${JSON.stringify({ ...cluster('work'), preferences: { colors: true } })}`);
    expect(await kubeconfigCommand({ merge: true }, env2)).toContain('kubectl --context berth');
    let merged = await readKubeconfig(own);
    expect(merged.contexts.map((c) => c.name)).toEqual(['work', 'berth']);
    expect(merged['current-context']).toBe('work');
    expect(merged).toHaveProperty('preferences', { colors: true });
    await kubeconfigCommand({ merge: true, setCurrent: true }, env2);
    merged = await readKubeconfig(own);
    expect(merged['current-context']).toBe('berth');
    expect(merged.contexts).toHaveLength(2);
    await kubeconfigCommand({ remove: true }, env2);
    merged = await readKubeconfig(own);
    expect([merged.contexts.map((c) => c.name), merged.users.length, merged.clusters.length]).toEqual([['work'], 1, 1]);
    expect(await kubeconfigCommand({ remove: true }, env2)).toContain('has no context "berth"');
  });

  test('a link to a file elsewhere stays a link, as people keep such files in a repository', async () => {
    await berthKubeconfig();
    const [real, own] = [join(folder, 'dotfiles-config'), join(folder, 'own')];
    await writeKubeconfig(real, cluster('work'));
    await symlink(real, own);
    await kubeconfigCommand({ merge: true, into: own }, env);
    expect((await lstat(own)).isSymbolicLink()).toBe(true);
    expect((await readKubeconfig(real)).contexts.map((x) => x.name)).toEqual(['work', 'berth']);
    await kubeconfigCommand({ remove: true, into: own }, env);
    expect((await lstat(own)).isSymbolicLink()).toBe(true);
    expect((await readKubeconfig(real)).contexts.map((x) => x.name)).toEqual(['work']);
  });

  test('wrong use, and a user file that is broken, change nothing', async () => {
    const path = await berthKubeconfig();
    await expect(kubeconfigCommand({ setCurrent: true }, env)).rejects.toThrow('--set-current goes with --merge');
    await expect(kubeconfigCommand({ merge: true, into: path }, env)).rejects.toThrow("the cluster's own kubeconfig");
    const own = join(folder, 'broken');
    await writeFile(own, 'a: [');
    await expect(kubeconfigCommand({ merge: true, into: own }, env)).rejects.toThrow('is not a kubeconfig');
    expect(await readFile(own, 'utf8')).toBe('a: [');
    expect(userPath({ HOME: '/h' })).toBe('/h/.kube/config');
  });
});

describe('which kubeconfig a client command reads', () => {
  test("--kubeconfig, KUBECONFIG, the cluster's own, the user's own, in this order", async () => {
    await expect(kubeconfigPaths({}, env)).rejects.toThrow("'berth up' starts a cluster and writes one");
    const ours = await berthKubeconfig();
    expect(await kubeconfigPaths({}, env)).toEqual([ours]);
    const named = { ...env, KUBECONFIG: '/a:/b' };
    expect(await kubeconfigPaths({}, named)).toEqual(['/a', '/b']);
    expect(await kubeconfigPaths({ kubeconfig: '/x' }, named)).toEqual(['/x']);
    await expect(kubeconfigPaths({ instance: 'other' }, { ...named, BERTH_HOME: '/nowhere' })).rejects.toThrow(
      '/nowhere/kubeconfig',
    );
  });

  test('of several files the first wins', async () => {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    await writeKubeconfig(a, cluster('first'));
    await writeKubeconfig(b, cluster('second'));
    const before = process.env['KUBECONFIG'];
    process.env['KUBECONFIG'] = `${a}:${b}:${folder}/none`;
    try {
      expect((await findAccess({})).server).toBe('https://first:6443');
      expect((await findAccess({ context: 'second' })).token).toBe('token-of-second');
      await expect(findAccess({ context: 'third' })).rejects.toThrow('no context "third"');
    } finally {
      if (before === undefined) delete process.env['KUBECONFIG'];
      else process.env['KUBECONFIG'] = before;
    }
  });
});

describe('docker-context', () => {
  test('is written where docker looks, is made current and removed again; other settings stay', async () => {
    const config = join(folder, 'docker');
    const env2 = { ...env, DOCKER_CONFIG: config };
    await mkdir(config);
    await writeFile(join(config, 'config.json'), '{"auths":{"x":{}}}');
    expect(await dockerContextCommand({ use: true }, env2)).toContain('unix:///run/berth/docker.sock');
    const id = createHash('sha256').update('berth').digest('hex');
    const meta: unknown = JSON.parse(await readFile(join(config, 'contexts', 'meta', id, 'meta.json'), 'utf8'));
    expect(meta).toEqual({
      Name: 'berth',
      Metadata: { Description: 'Berth, instance berth' },
      Endpoints: { docker: { Host: 'unix:///run/berth/docker.sock', SkipTLSVerify: false } },
    });
    const read = async (): Promise<unknown> =>
      JSON.parse(await readFile(join(config, 'config.json'), 'utf8')) as unknown;
    expect(await read()).toEqual({ auths: { x: {} }, currentContext: 'berth' });
    await dockerContextCommand({ remove: true }, env2);
    expect(await read()).toEqual({ auths: { x: {} } });
    await expect(stat(join(config, 'contexts', 'meta', id))).rejects.toThrow('ENOENT');
  });

  test('another instance has its own socket; names that docker refuses are refused', async () => {
    const other = await dockerContextCommand({ instance: 'two' }, env);
    expect(other).toContain('unix:///run/berth-two/docker.sock');
    expect(other).toContain('Nothing answers there yet');
    await expect(dockerContextCommand({ name: 'default' }, env)).rejects.toThrow('docker allows no such');
    await expect(dockerContextCommand({ name: 'a b' }, env)).rejects.toThrow('docker allows no such');
  });
});
