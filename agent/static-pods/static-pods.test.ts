/** Static pods and their mirrors, on a real folder of manifests, with workers and a control plane that only remember. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KubeObject, PodStatus } from '#lib/api';
import { realClock, StatusError, silentLogger, VirtualClock } from '#lib/base';
import type { PodObject } from '../pods/model.ts';
import type { DesiredChange, PodRef } from '../session/session.ts';
import { ManifestFolder } from './folder.ts';
import { CONFIG_HASH, CONFIG_MIRROR } from './manifest.ts';
import { StaticPods } from './static-pods.ts';

const manifest = (name: string, image = 'busybox'): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { terminationGracePeriodSeconds: 7, containers: [{ name: 'c', image }] },
  });

let folder: string;
const open: StaticPods[] = [];
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'berth-static-')), 'manifests');
});
afterEach(async () => {
  for (const s of open.splice(0)) await s[Symbol.asyncDispose]();
  await rm(join(folder, '..'), { recursive: true, force: true });
});

async function eventually(what: string, probe: () => boolean): Promise<void> {
  const end = realClock.monotonic() + 10_000;
  while (!probe()) {
    if (realClock.monotonic() > end) throw new Error(`never: ${what}`);
    await realClock.sleep(5);
  }
}

class Node {
  readonly clock = realClock;
  /** By uid. */
  readonly workers = new Map<string, PodObject>();
  readonly statuses: [string, string][] = [];
  readonly removed: string[] = [];
  readonly events: string[] = [];
  readonly mirrorCalls: string[] = [];
  /** The API, by name. */
  readonly mirrors = new Map<string, PodObject>();
  isConnected = true;
  readonly pods: StaticPods;

  constructor() {
    this.pods = new StaticPods({
      folder,
      nodeName: 'n1',
      apply: (changes) => {
        for (const x of changes)
          if (x.type === 'upsert') this.workers.set(x.object.metadata.uid ?? '', x.object as PodObject);
      },
      reports: {
        reportPodStatus: (ref, status) => void this.statuses.push([ref.uid, status.phase ?? '']),
        reportPodRemoved: (ref) => void this.removed.push(ref.uid),
        event: (e) => void this.events.push(`${e.involvedObject.kind} ${e.reason}: ${e.message}`),
        serviceAccountToken: async () => ({ token: 't', expiresAtMs: 0 }),
        mirrorPod: async (ref, source) => this.#mirror(ref, source as PodObject | undefined),
      },
      clock: this.clock,
      log: silentLogger,
    });
    open.push(this.pods);
  }

  async start(): Promise<this> {
    await this.pods.open();
    this.pods.start();
    return this;
  }

  /** Of pods that are not ending, by name. */
  get running(): string[] {
    const all = [...this.workers.values()].filter((p) => p.metadata.deletionTimestamp === undefined);
    return all.map((p) => `${p.metadata.name} ${p.spec.containers[0]?.image}`).sort();
  }

  worker(name: string): PodObject {
    const found = [...this.workers.values()].find((p) => p.metadata.name === name);
    if (found === undefined) throw new Error(`no worker of ${name}`);
    return found;
  }

  report(pod: PodObject, phase: PodStatus['phase']): void {
    this.pods.session.reportPodStatus(refOf(pod), { phase });
  }

  /** Nothing is left of it. */
  finish(pod: PodObject): void {
    this.workers.delete(pod.metadata.uid ?? '');
    this.pods.session.reportPodRemoved(refOf(pod));
  }

  say(change: DesiredChange): void {
    this.pods.withoutMirrors([change]);
  }

  #mirror(ref: PodRef, source: PodObject | undefined): void {
    if (!this.isConnected) throw new StatusError('Unavailable', 'no session');
    this.mirrorCalls.push(`${source === undefined ? 'remove' : 'make'} ${ref.name}`);
    const before = this.mirrors.get(ref.name);
    if (
      source !== undefined &&
      before?.metadata.annotations?.[CONFIG_MIRROR] === ref.uid &&
      before.metadata.deletionTimestamp === undefined
    )
      return;
    this.mirrors.delete(ref.name);
    if (before !== undefined) this.say({ type: 'remove', resource: 'pods', ...refOf(before) });
    if (source === undefined) return;
    const { metadata } = source;
    const uid = `mirror-${this.mirrorCalls.length}`;
    const mirror = {
      ...source,
      metadata: { ...metadata, uid, annotations: { ...metadata.annotations, [CONFIG_MIRROR]: ref.uid } },
    };
    this.mirrors.set(ref.name, mirror);
    this.say({ type: 'upsert', resource: 'pods', object: mirror as KubeObject });
  }
}

function refOf(pod: PodObject): PodRef {
  const { namespace = '', name, uid = '' } = pod.metadata;
  return { namespace, name, uid };
}

/** As an editor that is careful: other file, then renamed. */
async function put(name: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `.${name}.tmp`), text);
  await rename(join(folder, `.${name}.tmp`), join(folder, name));
}

describe('static pods', () => {
  test('begin without a control plane; files that come, change and go are followed', async () => {
    await put('a.yaml', manifest('a'));
    const node = new Node();
    node.isConnected = false;
    await node.start();
    expect(node.running).toEqual(['a-n1 busybox']);
    await put('b.json', manifest('b'));
    await eventually('b', () => node.running.length === 2);
    const first = node.worker('a-n1');
    await put('a.yaml', manifest('a', 'other'));
    await eventually('a ends', () => node.worker('a-n1').metadata.deletionTimestamp !== undefined);
    expect(node.worker('a-n1').metadata.deletionGracePeriodSeconds).toBe(7);
    /* Not before nothing is left of the one before. */
    expect(node.running).toEqual(['b-n1 busybox']);
    node.finish(first);
    await eventually('the new a', () => node.running.includes('a-n1 other'));
    expect(node.worker('a-n1').metadata.uid).not.toBe(first.metadata.uid);
    await rm(join(folder, 'b.json'));
    await eventually('b ends', () => node.worker('b-n1').metadata.deletionTimestamp !== undefined);
    expect(node.removed).toEqual([]);
    expect(node.mirrorCalls).toEqual([]);
  });

  test('a folder that cannot be read ends nothing', async () => {
    await put('a.yaml', manifest('a'));
    const path = folder;
    const mistakes: string[] = [];
    const look = new ManifestFolder({
      folder: path,
      nodeName: 'n1',
      clock: new VirtualClock(),
      onMistake: (_path, message) => mistakes.push(message),
      onUnknown: () => undefined,
    });
    expect([...(await look.read()).keys()]).toEqual(['default/a-n1']);
    await rename(path, `${path}.away`);
    await symlink(path, path);
    expect([...(await look.read()).keys()]).toEqual(['default/a-n1']);
    expect(mistakes[0]).toContain('ELOOP');
    await rm(path);
    expect([...(await look.read()).keys()]).toEqual([]);
  });

  test('a folder that comes later, and comes back, is found', async () => {
    const node = await new Node().start();
    expect(node.running).toEqual([]);
    await put('a.yaml', manifest('a'));
    await eventually('a', () => node.running.length === 1);
    await rm(folder, { recursive: true });
    await eventually('its end', () => node.running.length === 0);
    await put('b.yaml', manifest('b'));
    await eventually('b', () => node.running.length === 1);
  });

  test('a bad file is told once with its name and field, stops no other, and does not end the pod it named', async () => {
    await put('a.yaml', manifest('a'));
    await put('b.yaml', '{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c}]}}');
    await put('c.yaml', manifest('c'));
    const node = await new Node().start();
    expect(node.running).toEqual(['a-n1 busybox', 'c-n1 busybox']);
    const path = join(folder, 'b.yaml');
    expect(node.events).toEqual([
      `Node InvalidStaticPod: Could not process manifest file ${path}: invalid pod: spec.containers[0].image: Required value`,
    ]);
    await put('a.yaml', '{');
    await put('d.yaml', manifest('c'));
    await mkdir(join(folder, 'sub'));
    await eventually('told', () => node.events.length === 4);
    expect(node.events.slice(1).sort()).toEqual([
      expect.stringContaining(`${folder}/a.yaml: couldn't parse as pod(`),
      expect.stringContaining(`${folder}/d.yaml: it names the pod default/c-n1, as c.yaml does`),
      expect.stringContaining(`${folder}/sub: provided manifest path is a directory`),
    ]);
    expect(node.running).toEqual(['a-n1 busybox', 'c-n1 busybox']);
    await put('e.yaml', manifest('e'));
    await eventually('e', () => node.running.length === 3);
    expect(node.events).toHaveLength(4);
  });
});

describe('mirror pods', () => {
  test('are made, carry the status, and never get a worker', async () => {
    await put('a.yaml', manifest('a'));
    const node = await new Node().start();
    const a = node.worker('a-n1');
    await eventually('the mirror', () => node.mirrors.has('a-n1'));
    const mirror = node.mirrors.get('a-n1');
    expect(mirror?.metadata.annotations).toMatchObject({
      [CONFIG_MIRROR]: a.metadata.uid,
      [CONFIG_HASH]: a.metadata.uid,
    });
    expect(node.workers.size).toBe(1);
    node.report(a, 'Running');
    expect(node.statuses).toEqual([[mirror?.metadata.uid, 'Running']]);
    const plain = { metadata: { name: 'x', uid: 'x', namespace: 'default' } } as KubeObject;
    const passed = node.pods.withoutMirrors([
      { type: 'upsert', resource: 'pods', object: plain },
      { type: 'upsert', resource: 'pods', object: mirror as KubeObject },
    ]);
    expect(passed.map((x) => x.type === 'upsert' && x.object.metadata.name)).toEqual(['x']);
    node.pods.session.reportPodStatus({ namespace: 'default', name: 'x', uid: 'x' }, { phase: 'Failed' });
    expect(node.statuses.at(-1)).toEqual(['x', 'Failed']);
  });

  test('a status from before the control plane came is told when the mirror is there', async () => {
    await put('a.yaml', manifest('a'));
    const node = new Node();
    node.isConnected = false;
    await node.start();
    node.report(node.worker('a-n1'), 'Running');
    expect(node.statuses).toEqual([]);
    node.isConnected = true;
    node.pods.connected();
    await eventually('told', () => node.statuses.length === 1);
    expect(node.statuses[0]?.[1]).toBe('Running');
  });

  test('one that is deleted is made again; one of a changed pod is replaced; one without a pod goes', async () => {
    await put('a.yaml', manifest('a'));
    const node = await new Node().start();
    await eventually('the mirror', () => node.mirrors.has('a-n1'));
    const mirror = node.mirrors.get('a-n1') as PodObject;
    const deleted = { ...mirror, metadata: { ...mirror.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
    node.mirrors.set('a-n1', deleted);
    node.say({ type: 'upsert', resource: 'pods', object: deleted as KubeObject });
    await eventually('made again', () => node.mirrors.get('a-n1')?.metadata.deletionTimestamp === undefined);
    expect(node.running).toEqual(['a-n1 busybox']);
    const before = node.worker('a-n1');
    await put('a.yaml', manifest('a', 'other'));
    await eventually('ends', () => node.worker('a-n1').metadata.deletionTimestamp !== undefined);
    node.finish(before);
    await eventually('replaced', () => node.mirrors.get('a-n1')?.spec.containers[0]?.image === 'other');
    await rm(join(folder, 'a.yaml'));
    await eventually('ends', () => node.worker('a-n1').metadata.deletionTimestamp !== undefined);
    expect(node.mirrors.size).toBe(1);
    node.finish(node.worker('a-n1'));
    await eventually('the mirror goes', () => node.mirrors.size === 0);
    const stray = { ...mirror, metadata: { ...mirror.metadata, name: 'stray-n1', uid: 's' } };
    node.mirrors.set('stray-n1', stray);
    node.say({ type: 'upsert', resource: 'pods', object: stray as KubeObject });
    await eventually('the stray goes', () => node.mirrors.size === 0);
    expect(node.removed).toEqual([]);
  });

  test('what it says of a pod that has ended is what the next agent begins with', async () => {
    await put('a.yaml', manifest('a'));
    const node = await new Node().start();
    await eventually('the mirror', () => node.mirrors.has('a-n1'));
    const mirror = { ...(node.mirrors.get('a-n1') as PodObject), status: { phase: 'Succeeded' } };
    const next = new Node();
    await next.pods.open();
    next.say({ type: 'upsert', resource: 'pods', object: mirror as KubeObject });
    next.pods.start();
    expect(next.worker('a-n1').status?.phase).toBe('Succeeded');
  });
});
