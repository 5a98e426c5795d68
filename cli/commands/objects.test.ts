import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type ConfigMap, Kinds } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import { parseManifests, readManifests } from '../client/manifests.ts';
import { startTestSession, type TestSession } from '../testing/session.ts';
import { apply, isDryRun } from './apply.ts';
import { deleteObjects, wireOptions } from './delete.ts';
import { followTable, get } from './get.ts';

let t: TestSession;
beforeAll(async () => {
  t = await startTestSession();
});
afterAll(async () => {
  await t[Symbol.asyncDispose]();
});

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: x}]}
`;
const config = (name: string, value: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, labels: {team: a}}\ndata: {a: "${value}"}\n`;

describe('apply', () => {
  test('created, unchanged, configured: a line for each object; the second file of a stream as well', async () => {
    const s = t.session();
    expect(await apply(await parseManifests('x', `${config('one', '1')}---\n${DEPLOYMENT}`), {}, s)).toBe(0);
    expect(t.out.take()).toBe('configmap/one created\ndeployment.apps/web created\n');
    expect(await apply(await parseManifests('x', config('one', '1')), {}, s)).toBe(0);
    expect(t.out.take()).toBe('configmap/one unchanged\n');
    expect(await apply(await parseManifests('x', config('one', '2')), {}, s)).toBe(0);
    expect(t.out.take()).toBe('configmap/one configured\n');
  });

  test('a dry run says what would be and changes nothing', async () => {
    const s = t.session();
    expect(await apply(await parseManifests('x', config('dry', '1')), { dryRun: true }, s)).toBe(0);
    expect(t.out.take()).toBe('configmap/dry created (server dry run)\n');
    await expect(t.server.client.get(Kinds.configmaps, { namespace: 'default', name: 'dry' }, s.c)).rejects.toThrow(
      'not found',
    );
    await apply(await parseManifests('x', config('one', '9')), { dryRun: true }, s);
    expect(t.out.take()).toBe('configmap/one configured (server dry run)\n');
    expect(isDryRun('server')).toBe(true);
    expect(isDryRun(undefined)).toBe(false);
    expect(() => isDryRun('client')).toThrow("only the server's");
  });

  test('one that fails is told with its file and its next step; the others are applied; exit 2 for a mistake in it', async () => {
    const s = t.session();
    const text = `${config('a', '1')}foo: 1\n---\n${config('b', '1')}`;
    expect(await apply(await parseManifests('two.yaml', text), {}, s)).toBe(2);
    expect(t.err.take()).toMatch(/^berth apply: two\.yaml \(document 1\): .*unknown field "foo"/);
    expect(t.out.take()).toBe('configmap/b created\n');
    expect(await apply(await parseManifests('x.yaml', config('c', '1')), {}, t.session('nowhere'))).toBe(1);
    expect(t.err.take()).toBe(
      'berth apply: x.yaml: namespaces "nowhere" not found\n' +
        "Create the namespace first (a manifest of kind Namespace), or choose another with -n; 'berth get namespaces' lists them.\n",
    );
  });

  test('no kind, an unknown kind, two namespaces: exit 2 and what is missing', async () => {
    const s = t.session();
    const cases: [string, RegExp][] = [
      ['metadata: {name: x}', /apiVersion: Required value/],
      ['apiVersion: v1\nkind: Nothing\nmetadata: {name: x}', /no kind "Nothing" in version "v1"/],
      ['- 1', /must be a mapping|apiVersion: Required/],
    ];
    for (const [text, expected] of cases) {
      expect(await apply(await parseManifests('bad.yaml', text), {}, s)).toBe(2);
      expect(t.err.take()).toMatch(expected);
    }
    const elsewhere = config('x', '1').replace('{name: x,', '{name: x, namespace: b,');
    expect(await apply(await parseManifests('x', elsewhere), { namespace: 'a' }, s)).toBe(2);
    expect(t.err.take()).toContain('the object is in namespace b, but -n says a');
  });

  test('manifests: bad YAML names file and line; Lists are taken apart; standard input; nothing is a mistake', async () => {
    await expect(parseManifests('bad.yaml', 'a: [1\nb: 2\n')).rejects.toThrow(/^bad\.yaml: .*line 2/);
    const list = `apiVersion: v1\nkind: List\nitems:\n- ${config('l', '1').trim().replaceAll('\n', '\n  ')}\n`;
    expect(await parseManifests('l', list)).toMatchObject([{ object: { metadata: { name: 'l' } } }]);
    const read = await readManifests(['-'], { stdin: Readable.from([Buffer.from(config('in', '1'))]) });
    expect(read).toMatchObject([{ source: 'standard input', object: { metadata: { name: 'in' } } }]);
    const empty = readManifests(['-'], { stdin: Readable.from([Buffer.from('---\n')]) });
    await expect(empty).rejects.toThrow('no objects in standard input');
    await expect(readManifests(['/nowhere.yaml'], { stdin: Readable.from([]) })).rejects.toThrow('no such file');
  });
});

describe('get', () => {
  test('the table of the server; -o wide has more; -A has the namespace; labels', async () => {
    const s = t.session();
    expect(await get(['deploy'], {}, s)).toBe(0);
    const [header, row] = t.out.take().split('\n');
    expect(header?.split(/ {2,}/)).toEqual(['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'AGE']);
    expect(row).toMatch(/^web +0\/1 +0 +0 +\d+s$/);
    await get(['deployments.apps', 'web'], { output: 'wide', headers: false, showLabels: true }, s);
    expect(t.out.take()).toMatch(/^web .* c +x +app=web +app=web\n$/);
    await get(['cm'], { allNamespaces: true, fieldSelector: 'metadata.name=one' }, s);
    expect(t.out.take()).toMatch(/^NAMESPACE +NAME +DATA +AGE\ndefault +one +1 +\d+s\n$/);
  });

  test('several resources: a table each, names with their resource', async () => {
    await get(['cm/one', 'deploy/web'], {}, t.session());
    expect(t.out.take()).toMatch(/^NAME +DATA +AGE\nconfigmap\/one .*\n\nNAME +READY .*\ndeployment\.apps\/web /);
    await get(['cm/one', 'deploy/web'], { output: 'name' }, t.session());
    expect(t.out.take()).toBe('configmap/one\ndeployment.apps/web\n');
  });

  test('yaml and json: one object alone, several as a List, without managed fields', async () => {
    await get(['cm/one'], { output: 'yaml' }, t.session());
    const one = parse(t.out.take()) as ConfigMap;
    expect(one).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', data: { a: '2' } });
    expect(one.metadata.managedFields).toBeUndefined();
    await get(['cm'], { output: 'json', selector: 'team=a' }, t.session());
    expect(JSON.parse(t.out.take())).toMatchObject({
      kind: 'List',
      items: [{ metadata: { name: 'b' } }, { metadata: { name: 'one' } }],
    });
    await get(['cm/one'], { output: 'yaml', showManagedFields: true }, t.session());
    expect(t.out.take()).toContain('manager: berth-apply');
  });

  test('what is not there: told, exit 1, the others printed; an empty list is no error', async () => {
    const s = t.session();
    expect(await get(['cm', 'one', 'two'], { headers: false }, s)).toBe(1);
    expect(t.out.take()).toMatch(/^one /);
    expect(t.err.take()).toBe('berth get: configmaps "two" not found\n');
    expect(await get(['cm', 'two'], { ignoreNotFound: true }, s)).toBe(0);
    expect(await get(['pods'], {}, s)).toBe(0);
    expect(t.err.take()).toBe(
      'No resources found in namespace default (-A looks in all of them, -n NAME in another).\n',
    );
  });

  test('wrong use says what is right', async () => {
    const s = t.session();
    await expect(get(['pods'], { output: 'xml' }, s)).rejects.toThrow('-o xml: one of wide, yaml, json, name');
    await expect(get(['cm', 'one'], { allNamespaces: true }, s)).rejects.toThrow('leave out -A');
    await expect(get(['pdos'], {}, s)).rejects.toThrow('the server doesn\'t have a resource type "pdos"\ndid you mean');
    await expect(get(['pods,svc', 'x'], {}, s)).rejects.toThrow('write them as pods/NAME');
    await expect(get(['pods/x', 'y'], {}, s)).rejects.toThrow('all must be');
  });

  test('a watch prints what is there, then every change, in aligned columns', async () => {
    const s = t.session();
    const abort = new AbortController();
    const c: Ctx = { ...s.c, signal: abort.signal };
    const known = await s.resources();
    const query = { fieldSelector: 'metadata.name=watched', failures: [] };
    const watching = followTable({ resource: known.resolve('cm') }, query, s, c);
    let printed = '';
    const more = (): string => {
      printed += t.out.take();
      return printed;
    };
    const changes = (async () => {
      await apply(await parseManifests('x', config('watched', '1')), {}, t.session());
      await expect.poll(more).toMatch(/\nwatched/);
      await deleteObjects(['cm', 'watched'], [], {}, t.session());
      await expect.poll(() => more().match(/^watched/gm)?.length).toBe(2);
      abort.abort();
    })();
    await expect(watching).rejects.toSatisfy((e) => e instanceof StatusError && e.kind === 'Cancelled');
    await changes;
    expect(printed).toMatch(/NAME +DATA +AGE\n/);
  });
});

describe('delete', () => {
  test('by name, by file, by selector; each waits until it is gone', async () => {
    const s = t.session();
    await apply(
      await parseManifests(
        'x',
        `${config('d1', '1')}---\n${config('d2', '1')}---\n${config('d3', '1').replace('team: a', 'team: d')}`,
      ),
      {},
      s,
    );
    t.out.take();
    expect(await deleteObjects(['cm/d1'], [], {}, s)).toBe(0);
    expect(await deleteObjects([], await parseManifests('x', config('d2', '1')), {}, s)).toBe(0);
    expect(await deleteObjects(['cm'], [], { selector: 'team=d' }, s)).toBe(0);
    expect(t.out.take()).toBe('configmap "d1" deleted\nconfigmap "d2" deleted\nconfigmap "d3" deleted\n');
    await expect(t.server.client.get(Kinds.configmaps, { namespace: 'default', name: 'd3' }, s.c)).rejects.toThrow(
      'not found',
    );
  });

  test('a finalizer keeps it: the time limit tells where to look', async () => {
    const s = t.session();
    const stuck = config('stuck', '1').replace('{name: stuck,', '{name: stuck, finalizers: [example.org/x],');
    await apply(await parseManifests('x', stuck), {}, s);
    await expect(deleteObjects(['cm', 'stuck'], [], { timeout: '100ms' }, s)).rejects.toThrow('shows its finalizers');
    expect(await deleteObjects(['cm', 'stuck'], [], { wait: false }, s)).toBe(0);
  });

  test('what is not there is told, exit 1; all of a resource only when asked', async () => {
    const s = t.session();
    t.out.take();
    expect(await deleteObjects(['cm', 'nothing'], [], {}, s)).toBe(1);
    expect(t.err.take()).toBe('berth delete: configmaps "nothing" not found\n');
    expect(await deleteObjects(['cm', 'nothing'], [], { ignoreNotFound: true }, s)).toBe(0);
    await expect(deleteObjects(['cm'], [], {}, s)).rejects.toThrow('give -l SELECTOR or --all');
    await expect(deleteObjects([], [], {}, s)).rejects.toThrow('say what to delete');
  });

  test('options', () => {
    expect(wireOptions({ gracePeriod: '5' })).toEqual({ propagationPolicy: 'Background', gracePeriodSeconds: 5 });
    expect(wireOptions({ force: true, cascade: 'orphan' })).toEqual({
      propagationPolicy: 'Orphan',
      gracePeriodSeconds: 0,
    });
    expect(wireOptions({ now: true }).gracePeriodSeconds).toBe(1);
    expect(() => wireOptions({ gracePeriod: 'soon' })).toThrow('--grace-period soon: a whole number from 0');
    expect(() => wireOptions({ cascade: 'no' })).toThrow('--cascade no: one of background, foreground, orphan');
  });
});
