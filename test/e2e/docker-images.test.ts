/** Images by the stock docker CLI, with real containers and a registry that asks for a login. Needs root. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, realRandom, silentLogger } from '#lib/base';
import type { Identity } from '../../services/registry/access/identity.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';
import { DEFAULT_SETTINGS } from '../../services/registry/settings.ts';
import { TestEngine } from '../harness/engine.ts';

let t: TestEngine;
let registry: Registry;
/** As the cluster's service accounts are (services/registry/cluster/identity.ts). */
const identity: Identity = {
  userOf: async (token) => (token === 'a-token' ? { username: 'ci', uid: '', groups: [], extra: {} } : undefined),
  isAllowed: async () => true,
};

beforeAll(async () => {
  t = await TestEngine.open();
  registry = await startRegistry({
    ...{ listen: { host: '127.0.0.1', port: 0 }, folder: join(t.home, 'registry') },
    settings: () => ({ ...DEFAULT_SETTINGS, anonymous: 'pull' }),
    cluster: { identity, needed: async () => ({ digests: new Set(), tags: new Set() }) },
    ...{ log: silentLogger, clock: realClock, random: realRandom },
  });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await t.close();
});

async function ok(args: readonly string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await t.program('docker', args, stdin === undefined ? {} : { stdin });
  expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
  return stdout.trim();
}

test('login with a token of the cluster, push, logout, pull elsewhere, run it', async () => {
  const name = `${registry.host}/team/app:v1`;
  await ok(['tag', 'busybox', name]);
  const refused = await t.docker('push', name);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/unauthorized|denied/)]);
  const wrong = await t.program('docker', ['login', '-u', 'ci', '--password-stdin', registry.host], { stdin: 'no' });
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('unauthorized')]);
  expect(await ok(['login', '-u', 'ci', '--password-stdin', registry.host], 'a-token')).toContain('Login Succeeded');
  expect(await ok(['push', name])).toMatch(/v1: digest: sha256:[0-9a-f]{64} size: \d+/);
  await ok(['logout', registry.host]);
  await ok(['rmi', name]);
  expect(await ok(['run', '--rm', name, 'echo', 'pulled'])).toBe('pulled');
  expect(await ok(['images', '--digests', '--format', '{{.Digest}}', `${registry.host}/team/app`])).toMatch(/^sha256:/);
});

test('what containers use: rmi refuses, by force the name goes, prune spares it until the container is gone', async () => {
  const id = await t.addBusybox('in-use:1', { Labels: { of: 'use' }, Cmd: ['sleep', '100'] });
  const short = id.slice(7, 19);
  const container = await ok(['run', '-d', 'in-use:1']);
  const named = await t.docker('rmi', 'in-use:1');
  expect(named.stderr).toContain(`container ${container.slice(0, 12)} is using its referenced image ${short}`);
  expect((await t.docker('rmi', '-f', short)).stderr).toContain('cannot be forced');
  expect(await ok(['rmi', '-f', 'in-use:1'])).toBe('Untagged: in-use:1');
  expect(await ok(['image', 'prune', '-f'])).not.toContain(short);
  expect(await ok(['inspect', '-f', '{{.Image}}', container])).toBe(id);
  expect(await ok(['ps', '--filter', `ancestor=${short}`, '-q'])).toBe(container.slice(0, 12));
  await ok(['rm', '-f', container]);
  expect(await ok(['image', 'prune', '-f'])).toContain(`deleted: ${id}`);
});

test('save | load, import, history, commit stays without a name, and runs', async () => {
  const file = join(t.home, 'export.tar');
  const container = await ok(['create', 'busybox', 'true']);
  await ok(['export', '-o', file, container]);
  await ok(['import', '-c', 'ENTRYPOINT ["/bin/echo","imported"]', file, 'imported:1']);
  expect(await ok(['run', '--rm', 'imported:1', 'it'])).toBe('imported it');
  expect(await ok(['history', '--format', '{{.Comment}}', 'imported:1'])).toBe('Imported from -');
  writeFileSync(join(t.home, 'note'), 'kept');
  await ok(['cp', join(t.home, 'note'), `${container}:/note`]);
  const committed = await ok(['commit', container]);
  expect(await ok(['images', '-f', 'dangling=true', '--no-trunc', '-q'])).toContain(committed);
  expect(await ok(['run', '--rm', committed, 'cat', '/note'])).toBe('kept');
  const saved = join(t.home, 'saved.tar');
  const piped = `docker save imported:1 | cat > ${saved} && docker rmi imported:1 >/dev/null && cat ${saved} | docker load`;
  expect((await t.program('sh', ['-c', piped])).stdout).toContain('Loaded image: imported:1');
  await ok(['rm', container]);
});
