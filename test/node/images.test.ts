/**
 * Pulls as a registry sees them and a user is told of them: policies, pull secrets, pulls of one image by many pods and of many
 * images at once, a pull that lasts, and how often one that fails is tried.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { eventually } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { NodePods, NS, pushImage } from './node-pods.ts';

const USER = 'puller';
const PASSWORD = 'a:secret';
const BASIC = `Basic ${btoa(`${USER}:${PASSWORD}`)}`;
const SIDE_BY_SIDE = ['meet/a', 'meet/b', 'meet/c'];
/** All else is shorter. */
const LAYER_BYTES_MIN = 100_000;
const SLOW_BYTES = 3 << 20;
/** A pull says how far it is after ten seconds. */
const SLOW_MS = 11_500;

interface Asked {
  readonly method: string;
  readonly repository: string;
  readonly what: 'manifests' | 'blobs';
  /** Tag or digest. */
  readonly reference: string;
  readonly authorization: string | undefined;
  readonly atMs: number;
  /** Of the answer. */
  bytes: number;
}

/** In front of the cluster's registry: it notes who asks for what, wants a password for `private/`, and takes its time. */
class Front {
  readonly asked: Asked[] = [];
  readonly #to: string;
  readonly #server: Server;
  /** Repositories whose layer is asked for and not yet given: all of SIDE_BY_SIDE, or none gets on. */
  readonly #met = new Map<string, () => void>();

  constructor(to: string) {
    this.#to = to;
    this.#server = createServer((req, res) => {
      this.#answer(req, res).catch(() => res.destroy());
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  of(repository: string, what: Asked['what'], reference?: string): Asked[] {
    return this.asked.filter(
      (a) => a.repository === repository && a.what === what && (reference === undefined || a.reference === reference),
    );
  }

  /** Digests, as often as they were given. */
  layersOf(repository: string): string[] {
    return this.of(repository, 'blobs').flatMap((a) => (a.bytes > LAYER_BYTES_MIN ? [a.reference] : []));
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname } = new URL(req.url ?? '', 'http://front');
    const [, repository = '', what = '', reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(pathname) ?? [];
    const { authorization } = req.headers;
    const { method = '' } = req;
    const isBlobs = what === 'blobs';
    const asked: Asked = {
      method,
      repository,
      what: isBlobs ? 'blobs' : 'manifests',
      reference,
      authorization,
      atMs: realClock.monotonic(),
      bytes: 0,
    };
    if (repository !== '') this.asked.push(asked);
    if (repository.startsWith('private/') && authorization !== BASIC) {
      res.writeHead(401, { 'www-authenticate': 'Basic realm="front"', 'content-type': 'application/json' });
      res.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return;
    }
    const headers = { accept: req.headers.accept ?? '*/*' };
    const answer = await fetch(`http://${this.#to}${pathname}`, { method, headers });
    const body = Buffer.from(await answer.arrayBuffer());
    asked.bytes = body.length;
    res.writeHead(answer.status, {
      'content-type': answer.headers.get('content-type') ?? '',
      'content-length': answer.headers.get('content-length') ?? body.length,
      'docker-content-digest': answer.headers.get('docker-content-digest') ?? '',
    });
    if (SIDE_BY_SIDE.includes(repository) && body.length > LAYER_BYTES_MIN) await this.#meet(repository);
    if (repository === 'slow/app' && body.length > SLOW_BYTES) await trickle(res, body);
    res.end(repository === 'slow/app' && body.length > SLOW_BYTES ? undefined : body);
  }

  async #meet(repository: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#met.set(repository, resolve);
      if (this.#met.size === SIDE_BY_SIDE.length) for (const go of this.#met.values()) go();
    });
  }
}

async function trickle(res: ServerResponse, body: Buffer): Promise<void> {
  const pieces = 23;
  const size = Math.ceil(body.length / pieces);
  for (let at = 0; at < body.length; at += size) {
    res.write(body.subarray(at, at + size));
    await realClock.sleep(SLOW_MS / pieces);
  }
}

describe('pulls (root)', () => {
  let t: NodePods;
  let front: Front;
  let host: string;
  tellWhenFailed(() => t?.cluster);

  /** Pushed to the cluster's registry, pulled by way of the front. */
  async function push(name: string, text: string, more: Uint8Array = new Uint8Array()): Promise<string> {
    const files = [
      { type: 'file', path: 'text', data: Buffer.from(`${text}\n`) },
      { type: 'file', path: 'more', data: more },
    ] as const;
    await pushImage(`${t.cluster.registry}/${name}`, {}, files, t.cluster);
    return `${host}/${name}`;
  }
  const pod = (name: string, image: string, imagePullPolicy = 'IfNotPresent', spec: object = {}) =>
    t.pod(name, 'cat /text', { image, imagePullPolicy }, spec);
  const login = (name: string, auths: object): object => ({
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/dockerconfigjson',
    metadata: { name, namespace: NS },
    stringData: { '.dockerconfigjson': JSON.stringify({ auths }) },
  });
  const withSecrets = (...names: string[]): object => ({ imagePullSecrets: names.map((name) => ({ name })) });

  beforeAll(async () => {
    t = await NodePods.open('pull');
    front = new Front(t.cluster.registry);
    host = await front.listen();
    const random = Buffer.alloc(SLOW_BYTES + 1, 'slow');
    const [shared, secret, others, later, many, slow, account] = await Promise.all([
      push('policy/app:1', 'one'),
      push('private/app:1', 'private'),
      push('private/others:1', 'private too'),
      push('private/later:1', 'private, later'),
      push('many/app:1', 'many'),
      push('slow/app:1', 'slow', random),
      push('private/account:1', 'by account'),
      ...SIDE_BY_SIDE.map((name) => push(`${name}:1`, name)),
    ]);
    const own = { [host]: { username: USER, password: PASSWORD } };
    await t.apply(
      login('good', own),
      login('wrong', { [host]: { username: USER, password: 'guessed' } }),
      login('elsewhere', { 'registry.invalid': { username: USER, password: PASSWORD } }),
      {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'puller', namespace: NS },
        ...withSecrets('good'),
      },
      pod('slow', slow),
      pod('none', `${host}/none/app:1`),
      pod('first', shared),
      pod('never', `${host}/none/never:1`, 'Never'),
      pod('known', secret, 'IfNotPresent', withSecrets('elsewhere', 'wrong', 'good')),
      pod('unknown', others),
      pod('guessed', others, 'IfNotPresent', withSecrets('wrong', 'elsewhere')),
      pod('later', later, 'IfNotPresent', withSecrets('comes')),
      pod('account', account, 'IfNotPresent', { serviceAccountName: 'puller' }),
      ...[1, 2, 3, 4, 5, 6].map((n) => pod(`many-${n}`, many)),
      ...SIDE_BY_SIDE.map((name) => pod(`meets-${name.slice(-1)}`, `${host}/${name}:1`)),
    );
  });
  afterAll(async () => {
    front?.close();
    await t?.cluster.stop();
  });

  test('IfNotPresent asks the registry once, Always each time and gets no layer twice; Never asks nothing', async () => {
    expect(await t.said('first')).toBe('one');
    const manifests = () => front.of('policy/app', 'manifests', '1').length;
    const layers = () => front.layersOf('policy/app');
    const before = manifests();
    await t.apply(pod('again', `${host}/policy/app:1`), pod('never-here', `${host}/policy/app:1`, 'Never'));
    expect([await t.said('again'), await t.said('never-here'), manifests()]).toEqual(['one', 'one', before]);
    expect(await t.event('again', /^Pulled /)).toContain(
      `Pulled Container image "${host}/policy/app:1" already present on machine`,
    );
    await t.apply(pod('always', `${host}/policy/app:1`, 'Always'));
    expect([await t.said('always'), layers()]).toEqual(['one', [expect.any(String)]]);
    const asked = manifests();
    expect(asked).toBeGreaterThan(before);
    await push('policy/app:1', 'two');
    await t.apply(pod('keeps', `${host}/policy/app:1`), pod('renews', `${host}/policy/app:1`, 'Always'));
    expect(await t.said('renews')).toBe('two');
    expect(['one', 'two']).toContain(await t.said('keeps'));
    expect(await t.waiting('never', /^ErrImageNeverPull$/)).toMatchObject({
      message: `Container image "${host}/none/never:1" is not present with pull policy of Never`,
    });
    expect(front.of('none/never', 'manifests')).toEqual([]);
  });

  test('pull secrets: the right one among others, by the pod or its account; without it words, with it when it comes', async () => {
    expect([await t.said('known'), await t.said('account')]).toEqual(['private', 'by account']);
    for (const name of ['unknown', 'guessed']) {
      await t.waiting(name, /^(ErrImagePull|ImagePullBackOff)$/);
      expect(await t.event(name, /^Failed Failed to pull/)).toMatch(/private\/others:1": .*authentication required/);
    }
    const sent = new Set(front.of('private/others', 'manifests').map((a) => a.authorization));
    expect(sent).toEqual(new Set([undefined, `Basic ${btoa(`${USER}:guessed`)}`]));
    await t.waiting('later', /^(ErrImagePull|ImagePullBackOff)$/);
    await t.apply(login('comes', { [host]: { auth: btoa(`${USER}:${PASSWORD}`) } }));
    expect(await t.said('later')).toBe('private, later');
  });

  test('six pods of one image pull it once; three images come side by side', async () => {
    const pods = [1, 2, 3, 4, 5, 6].map((n) => `many-${n}`);
    expect(new Set(await Promise.all(pods.map((name) => t.said(name))))).toEqual(new Set(['many']));
    expect(front.layersOf('many/app')).toHaveLength(1);
    /* The layer, and the configuration: again for a pod that looked just before the pull of the others ended. */
    expect(front.of('many/app', 'blobs').length).toBeLessThanOrEqual(4);
    for (const name of SIDE_BY_SIDE) expect(await t.said(`meets-${name.slice(-1)}`)).toBe(name);
  });

  test('a pull that lasts tells how far it is; one that fails is tried again after 10 s, then after 20 s', async () => {
    const progress = await t.event('slow', /^Pulling .*: /);
    expect(progress).toMatch(/^Pulling Pulling image ".*slow\/app:1": \d+\.\d of \d+\.\d MB, 0 of 1 layers$/);
    expect(await t.said('slow')).toBe('slow');
    expect(await t.waiting('none', /^ImagePullBackOff$/)).toMatchObject({
      message: expect.stringContaining(`Back-off pulling image "${host}/none/app:1"`),
    });
    const tries = await eventually('a third try', 50_000, async () => {
      const times = front
        .of('none/app', 'manifests', '1')
        .filter((a, i, all) => a.atMs - (all[i - 1]?.atMs ?? -1e9) > 1000);
      return times.length >= 3 ? times : undefined;
    });
    const [first = 0, second = 0, third = 0] = tries.map((a) => a.atMs);
    expect(second - first).toBeGreaterThan(9_000);
    expect(second - first).toBeLessThan(17_000);
    expect(third - second).toBeGreaterThan(18_000);
  });
});
