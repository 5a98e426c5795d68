/**
 * The API server by itself: what a client sees at so many requests, beside the same client against a constant answer of the
 * same bytes (`constant.ts`), and what it holds in memory. One etcd, one server, in the order below: memory is of what the
 * steps before have left in etcd.
 */
import { realClock } from '#lib/base';
import type { Figure } from '../report.ts';
import { LoadClient, type LoadRequest, type LoadResult, watching } from './load.ts';
import { type ApiBench, startApiBench } from './processes.ts';

const OBJECTS = 10_000;
const CONNECTIONS = 64;
const OBJECT_BYTES = 500;
const EVENT_BYTES = 700;
const EVENTS_PER_SECOND = 200;
const WATCHERS = 1_000;
const LISTS = 10;
const CREATED_BY_ONE_MAX = 1_500;
const CREATED_COLD = 4_000;
const SETTLE_MS = 2_000;
const MAPS = '/api/v1/namespaces/default/configmaps';
const KUBE = 'kube-apiserver 1.26';

/** `phaseMs` = how long a rate is measured. */
export async function apiFigures(phaseMs: number, add: (f: Figure) => void): Promise<void> {
  await using bench = await startApiBench();
  const empty = await bench.boot();
  add({ name: 'API: boot to readyz, etcd empty', unit: 'ms', samples: [empty], recorded: { [KUBE]: 4_100 } });
  {
    await using api = new LoadClient(bench.api, CONNECTIONS);
    await using constant = new LoadClient(bench.constant, CONNECTIONS);
    await creates({ api, constant }, phaseMs, add);
    add(await memory(bench, `${OBJECTS} ConfigMaps`, 500));
    await reads({ api, constant }, phaseMs, add);
    await watches(bench, { api, constant, phaseMs }, add);
  }
  const boots: number[] = [];
  for (let i = 0; i < 3; i++) boots.push(await bench.boot());
  add({ name: `API: boot to readyz, ${OBJECTS} objects in etcd`, unit: 'ms', samples: boots, reach: 1_500 });
  await using api = new LoadClient(bench.api, CONNECTIONS);
  await pods(api, add);
  add(await memory(bench, `${OBJECTS} ConfigMaps, a restart and ${OBJECTS} pods`, 937));
}

interface Clients {
  readonly api: LoadClient;
  readonly constant: LoadClient;
}

async function creates({ api, constant }: Clients, phaseMs: number, add: (f: Figure) => void): Promise<void> {
  await api.run({ clients: 8, count: 200, limitMs: phaseMs, next: (n) => createMap(`warm-${n}`) });
  let made = 200;
  const next = (): LoadRequest => createMap(`map-${made++}`);
  // A program that is compiled while it runs: what it does cold is told apart from what it does once it is warm.
  const cold = await api.run({ clients: CONNECTIONS, count: CREATED_COLD, limitMs: 60_000, next });
  add(rate(`API: create ConfigMap, ${CONNECTIONS} clients, just started`, cold, { recorded: 1_488 }));
  const one = await api.run({ clients: 1, count: CREATED_BY_ONE_MAX, limitMs: phaseMs, next });
  const plainOne = await constant.run({ clients: 1, count: one.count, limitMs: phaseMs, next: answer('POST', one) });
  add(rate('API: create ConfigMap, 1 client', one, { plain: plainOne, reach: 300, recorded: 206 }));
  const rest = OBJECTS - made;
  const many = await api.run({ clients: CONNECTIONS, count: rest, limitMs: 60_000, next });
  const load = { clients: CONNECTIONS, count: many.count, limitMs: phaseMs };
  const plainMany = await constant.run({ ...load, next: answer('POST', many) });
  add(rate(`API: create ConfigMap, ${CONNECTIONS} clients`, many, { plain: plainMany, reach: 3_000, recorded: 1_488 }));
}

async function reads({ api, constant }: Clients, phaseMs: number, add: (f: Figure) => void): Promise<void> {
  const load = { clients: 32, count: Number.POSITIVE_INFINITY, limitMs: phaseMs };
  const gets = await api.run({ ...load, next: (n) => ({ method: 'GET', path: `${MAPS}/warm-${n % 200}` }) });
  const plain = await constant.run({ ...load, next: answer('GET', gets) });
  add(rate('API: get ConfigMap, 32 clients', gets, { plain, reach: 7_000, recorded: 2_389 }));
  const ours: number[] = [];
  const theirs: number[] = [];
  let bytes = 0;
  for (let i = 0; i < LISTS + 1; i++) {
    const list = await api.run({ clients: 1, count: 1, limitMs: phaseMs, next: () => ({ method: 'GET', path: MAPS }) });
    bytes = list.answerBytes;
    const same = await constant.run({ clients: 1, count: 1, limitMs: phaseMs, next: answer('GET', list) });
    if (i === 0) continue;
    ours.push(list.p50Ms);
    theirs.push(same.p50Ms);
  }
  const name = `API: list of ${OBJECTS} ConfigMaps`;
  const note = `${(bytes / 1e6).toFixed(1)} MB`;
  add({ name, unit: 'ms', samples: ours, constant: theirs, reachOfConstant: 1.5, recorded: { [KUBE]: 100 }, note });
}

async function watches(
  bench: ApiBench,
  { api, constant, phaseMs }: Clients & { phaseMs: number },
  add: (f: Figure) => void,
): Promise<void> {
  const path = '/api/v1/namespaces/kube-public/configmaps';
  const names = Array.from({ length: 40 }, (_, i) => `watched-${i}`);
  const body = (name: string, pad: number): string =>
    JSON.stringify({ metadata: { name }, data: { sent: `${Math.floor(realClock.now())}`, pad: 'x'.repeat(pad) } });
  let bytes = 0;
  for (const name of names) bytes = (await api.send({ method: 'POST', path, body: body(name, 0) })).byteLength;
  const pad = Math.max(EVENT_BYTES - bytes, 0);
  const from = (JSON.parse((await api.send({ method: 'GET', path })).toString()) as ListHead).metadata.resourceVersion;
  const common = { watchers: WATCHERS, settleMs: SETTLE_MS };
  let late = 0;
  const during = async (): Promise<void> => {
    late = await paced(phaseMs, async (n) => {
      const name = names[n % names.length] ?? '';
      await api.send({ method: 'PUT', path: `${path}/${name}`, body: body(name, pad) });
    });
  };
  const seen = await watching(bench.api, { ...common, path: `${path}?watch=1&resourceVersion=${from}`, during });
  const plain = await watching(bench.constant, {
    ...common,
    path: '/watch',
    during: async () => {
      await constant.send({ method: 'GET', path: `/start?rate=${EVENTS_PER_SECOND}&bytes=${EVENT_BYTES}` });
      await realClock.sleep(phaseMs);
    },
  });
  const loss = seen.bytesMin === seen.bytesMax ? 'all saw all' : `some saw ${seen.bytesMin} of ${seen.bytesMax} bytes`;
  add({
    name: `API: ${WATCHERS} watchers, ${EVENTS_PER_SECOND} events/s, p99 from PUT to seen`,
    unit: 'ms',
    samples: [seen.p99Ms],
    constant: [plain.p99Ms],
    reach: 100,
    note: `p50 ${seen.p50Ms.toFixed(0)} ms, ${loss}, ${(late * 100).toFixed(0)} % of the pace missed`,
  });
}

interface ListHead {
  readonly metadata: { readonly resourceVersion: string };
}

/** Open loop: the pace does not wait for answers. The share of it that this process could not keep. */
async function paced(ms: number, send: (n: number) => Promise<void>): Promise<number> {
  const begin = realClock.monotonic();
  const underWay: Promise<void>[] = [];
  const due = (now: number): number => Math.floor(((now - begin) / 1000) * EVENTS_PER_SECOND);
  while (realClock.monotonic() - begin < ms) {
    while (underWay.length < due(realClock.monotonic())) underWay.push(send(underWay.length));
    await realClock.sleep(2);
  }
  const sent = underWay.length;
  await Promise.all(underWay);
  return 1 - sent / ((ms / 1000) * EVENTS_PER_SECOND);
}

async function pods(api: LoadClient, add: (f: Figure) => void): Promise<void> {
  const account = JSON.stringify({ metadata: { name: 'default' } });
  await api.send({ method: 'POST', path: '/api/v1/namespaces/default/serviceaccounts', body: account });
  const path = '/api/v1/namespaces/default/pods';
  const spec = {
    containers: [{ name: 'main', image: 'registry.example/app:1', command: ['/bin/sh', '-c', 'sleep 1'] }],
  };
  const made = await api.run({
    clients: CONNECTIONS,
    count: OBJECTS,
    limitMs: 120_000,
    next: (n) => ({ method: 'POST', path, body: JSON.stringify({ metadata: { name: `pod-${n}` }, spec }) }),
  });
  if (made.count !== OBJECTS) throw new Error(`only ${made.count} pods were made`);
  add(rate(`API: create pod, ${CONNECTIONS} clients`, made, { recorded: 605 }));
}

/** A moment later, so that it is not the garbage of the load that is counted. */
async function memory(bench: ApiBench, of: string, recorded: number): Promise<Figure> {
  await realClock.sleep(SETTLE_MS);
  const name = `API: RSS after ${of}`;
  return { name, unit: 'MB', samples: [await bench.rss()], reach: recorded / 2, recorded: { [KUBE]: recorded } };
}

function createMap(name: string): LoadRequest {
  const bare = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value: '' } });
  const body = bare.replace('""', `"${'x'.repeat(OBJECT_BYTES - bare.length)}"`);
  return { method: 'POST', path: MAPS, body };
}

/** The same body sent, as many bytes answered as the API answered. */
function answer(method: 'GET' | 'POST', like: LoadResult): (n: number) => LoadRequest {
  const path = `/?bytes=${like.answerBytes}`;
  return (n) => ({ ...createMap(`map-${n}`), ...(method === 'GET' ? { method, path, body: undefined } : { path }) });
}

function rate(name: string, r: LoadResult, o: { plain?: LoadResult; reach?: number; recorded: number }): Figure {
  return {
    name,
    unit: '/s',
    samples: [r.perSecond],
    recorded: { [KUBE]: o.recorded },
    note: `p50 ${r.p50Ms.toFixed(1)} ms, p99 ${r.p99Ms.toFixed(1)} ms, n=${r.count}`,
    ...(o.plain === undefined ? {} : { constant: [o.plain.perSecond] }),
    ...(o.reach === undefined ? {} : { reach: o.reach }),
  };
}
