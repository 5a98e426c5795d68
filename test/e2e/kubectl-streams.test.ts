/**
 * Stock kubectl against a whole cluster: what moves bytes to and from containers. Effects are read back with a second client
 * or with a second command in the container; each command has a negative case.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { background } from '../harness/background.ts';
import { eventually, kubectlIsNewEnough, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { freePort } from '../harness/process.ts';
import { applyOk, podInPhase, pushHello, readyPods, scriptPod } from './workload.ts';

const NS = 'default';
const BYTES = 3_000_000;

describe.skipIf(!(await kubectlIsNewEnough()))('kubectl >= 1.30 on a cluster: streams', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image = '';
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-streams-'));
    t = await startCluster({ name: 'str' });
    image = await pushHello(t);
    const mount = { volumeMounts: [{ name: 'page', mountPath: '/www' }] };
    await applyOk(
      t,
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'page', namespace: NS },
        data: { 'index.html': 'hi\n' },
      },
      scriptPod({
        name: 'box',
        namespace: NS,
        image,
        labels: { app: 'box' },
        spec: {
          containers: [
            { name: 'web', image, ...mount, ports: [{ name: 'http', containerPort: 8080 }] },
            { name: 'idle', image, command: ['sleep', '1000'] },
          ],
          volumes: [{ name: 'page', configMap: { name: 'page' } }],
        },
      }),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'box', namespace: NS },
        spec: { selector: { app: 'box' }, ports: [{ port: 80, targetPort: 'http' }] },
      },
    );
    await readyPods(t, NS, 'app=box', 1);
  });
  afterAll(async () => {
    await t?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const ok = async (...args: string[]): Promise<string> => {
    const r = await t.kubectl(...args);
    expect(r, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
    return r.stdout;
  };
  const refused = async (pattern: RegExp, ...args: string[]): Promise<void> => {
    const r = await t.kubectl(...args);
    expect(r.stderr, `kubectl ${args.join(' ')}`).toMatch(pattern);
    expect(r.code).not.toBe(0);
  };

  test('logs: by container, tail, since, timestamps, previous; wrong names are errors', async () => {
    const script = 'for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; exit 3';
    await applyOk(t, scriptPod({ name: 'talk', namespace: NS, image, script, spec: { restartPolicy: 'Never' } }));
    await podInPhase(t, NS, 'talk', 'Failed');
    const lines = (await ok('logs', 'talk')).trimEnd().split('\n');
    expect(lines.filter((l) => l.startsWith('out'))).toEqual([1, 2, 3, 4, 5].map((i) => `out ${i}`));
    expect(lines.filter((l) => l.startsWith('err'))).toEqual([1, 2, 3, 4, 5].map((i) => `err ${i}`));
    expect((await ok('logs', 'talk', '--tail=3')).trimEnd().split('\n')).toEqual(lines.slice(-3));
    expect((await ok('logs', 'talk', '--timestamps', '--tail=1')).trimEnd()).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z (out|err) 5$/,
    );
    expect(await ok('logs', 'talk', '--limit-bytes=4')).toHaveLength(4);
    expect(await ok('logs', 'box', '-c', 'web')).toBe('serving /www on port 8080\n');
    expect(await ok('logs', 'box', '-c', 'idle')).toBe('');
    expect(await ok('logs', '-l', 'app=box', '--all-containers', '--prefix')).toBe(
      '[pod/box/web] serving /www on port 8080\n',
    );
    await refused(/container nope is not valid for pod box/, 'logs', 'box', '-c', 'nope');
    await refused(/previous terminated container "web" in pod "box" not found/, 'logs', 'box', '-c', 'web', '-p');
    await refused(/pods "nope" not found/, 'logs', 'nope');
  });

  test('logs -f: what is written later arrives, and the command ends with the container', async () => {
    const script = 'echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo last; exit 0';
    await applyOk(t, scriptPod({ name: 'later', namespace: NS, image, script, labels: { app: 'later' } }));
    await readyPods(t, NS, 'app=later', 1);
    await using follow = background('kubectl', ['-n', NS, 'logs', '-f', 'later'], t.env);
    await follow.until(/first\n/);
    expect(follow.output).toBe('first\n');
    await ok('exec', 'later', '--', 'touch', '/tmp/go');
    expect(await follow.closed).toBe(0);
    expect(follow.output).toBe('first\nlast\n');
    await refused(/is not valid for pod|not found/, 'logs', '-f', 'later', '-c', 'nope');
  });

  test('exec: outputs apart, exit codes, input, many at once; wrong names and programs are errors', async () => {
    const r = await t.kubectl('exec', 'box', '-c', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 5');
    expect(r).toMatchObject({ code: 5, stdout: 'out\n' });
    expect(r.stderr).toMatch(/^err\n/);
    await using cat = background('kubectl', ['exec', '-i', 'box', '-c', 'idle', '--', 'wc', '-c'], t.env);
    cat.write('x'.repeat(BYTES));
    cat.endInput();
    expect(await cat.closed).toBe(0);
    expect(cat.output).toBe(`${BYTES}\n`);
    expect(await ok('exec', 'box', '-c', 'idle', '--', 'head', '-c', String(BYTES), '/dev/zero')).toHaveLength(BYTES);
    const quick = await Promise.all(
      Array.from({ length: 12 }, () => t.kubectl('exec', 'box', '-c', 'idle', '--', 'true')),
    );
    expect(quick.map((q) => [q.code, q.stderr])).toEqual(quick.map(() => [0, '']));
    await refused(/container nope is not valid for pod box/, 'exec', 'box', '-c', 'nope', '--', 'true');
    await refused(/pods "nope" not found/, 'exec', 'nope', '--', 'true');
    await refused(/no-such-program/, 'exec', 'box', '-c', 'idle', '--', 'no-such-program');
    await refused(/cannot exec into a container in a completed pod|is not running/, 'exec', 'talk', '--', 'true');
  });

  test('exec -it -- sh: a terminal of the size of ours, a prompt, the exit code of the shell', async () => {
    const command = 'stty rows 33 cols 101; kubectl exec -it box -c idle -- sh';
    await using shell = background('script', ['-qec', command, '/dev/null'], t.env);
    await shell.until(/~ # /);
    shell.write('tty; stty size; test -t 0 && echo is-a-$((40+2))-terminal\n');
    await shell.until(/\/dev\/pts\/\d+\r\n33 101\r\nis-a-42-terminal\r\n/);
    shell.write('sleep 777\n');
    await eventually('the program at the terminal', 10_000, async () =>
      (await ok('exec', 'box', '-c', 'idle', '--', 'ps')).includes('sleep 777'),
    );
    shell.write('\u0003');
    await shell.until(/\^C[\s\S]*~ # /);
    shell.write('exit 7\n');
    expect(await shell.closed).toBe(7);
    expect(shell.output).toContain('command terminated with exit code 7');
    await refused(/container nope is not valid/, 'exec', '-it', 'box', '-c', 'nope', '--', 'sh');
  });

  test('cp: a file there and back, bytes unchanged; a missing pod is an error', async () => {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    const bytes = Buffer.alloc(300_000, 'all bytes \u0000\u0001\n');
    await writeFile(from, bytes);
    await ok('cp', from, 'box:/tmp/there', '-c', 'idle');
    expect(await ok('exec', 'box', '-c', 'idle', '--', 'wc', '-c', '/tmp/there')).toBe(`${bytes.length} /tmp/there\n`);
    await ok('cp', 'box:/tmp/there', to, '-c', 'idle');
    expect((await readFile(to)).equals(bytes)).toBe(true);
    await refused(/pods "nope" not found/, 'cp', from, 'nope:/tmp/x');
    await refused(/doesn't exist|no such file/, 'cp', join(folder, 'missing'), 'box:/tmp/x');
  });

  test('cp: a directory there and back; what is missing on either side, tar too, is an error', async () => {
    const tree = join(folder, 'tree');
    await mkdir(join(tree, 'inner', 'empty'), { recursive: true });
    await writeFile(join(tree, 'a.txt'), 'one\n');
    await writeFile(join(tree, 'inner', 'with space'), Buffer.alloc(70_000, '\u0000\u00ff'));
    await ok('cp', tree, `${NS}/box:/tmp/tree`, '-c', 'idle');
    const listed = await ok('exec', 'box', '-c', 'idle', '--', 'ls', '-R', '/tmp/tree');
    for (const name of ['a.txt', 'inner', 'with space', 'empty']) expect(listed).toContain(name);
    const back = join(folder, 'back');
    await ok('cp', 'box:/tmp/tree', back, '-c', 'idle');
    expect((await readdir(back, { recursive: true })).toSorted()).toEqual(
      (await readdir(tree, { recursive: true })).toSorted(),
    );
    const file = join('inner', 'with space');
    expect((await readFile(join(back, file))).equals(await readFile(join(tree, file)))).toBe(true);
    /* kubectl ends with the archive, before tar's own exit code arrives: what counts is that nothing is made. */
    await t.kubectl('cp', 'box:/tmp/none', join(folder, 'none'), '-c', 'idle');
    await expect(readdir(join(folder, 'none'))).rejects.toThrow(/ENOENT/);
    await refused(/container nope is not valid/, 'cp', tree, 'box:/tmp/x', '-c', 'nope');
    await refused(/one of src or dest must be a (local|remote) file/, 'cp', tree, join(folder, 'other'));
    await applyOk(t, scriptPod({ name: 'bare', namespace: NS, image, script: 'rm /bin/tar; sleep 1000' }));
    await podInPhase(t, NS, 'bare', 'Running');
    await eventually(
      'tar is gone',
      10_000,
      async () => (await t.kubectl('exec', 'bare', '--', 'ls', '/bin/tar')).code === 1,
    );
    await refused(/tar/, 'cp', tree, 'bare:/tmp/x');
    await refused(/tar/, 'cp', 'bare:/tmp', join(folder, 'bare'));
    expect(await ok('exec', 'bare', '--', 'ls', '/tmp')).toBe('');
  });

  test('attach: input and output of a running program, a terminal too; ended and missing ones are errors', async () => {
    const script = 'while read line; do echo "got $line"; [ "$line" = end ] && exit 0; done';
    const main = { name: 'main', image, command: ['sh', '-c', script], stdin: true };
    const pod = (name: string, more: object) =>
      scriptPod({ name, namespace: NS, image, spec: { containers: [{ ...main, ...more }] } });
    await applyOk(t, pod('piped', {}), pod('term', { tty: true }));
    for (const name of ['piped', 'term']) await podInPhase(t, NS, name, 'Running');
    await using piped = background('kubectl', ['attach', '-i', 'piped'], t.env);
    piped.write('one\n');
    await piped.until(/got one\n/);
    await using second = background('kubectl', ['attach', 'piped', '-c', 'main'], t.env);
    await second.until(/./, 500).catch(() => undefined);
    await eventually('the second one sees what the first one does', 10_000, async () => {
      piped.write('two\n');
      return second.output.includes('got two\n');
    });
    piped.write('end\n');
    await piped.until(/got end\n/);
    expect([await piped.closed, await second.closed]).toEqual([0, 0]);
    await using term = background('script', ['-qec', 'kubectl attach -it term', '/dev/null'], t.env);
    await term.until(/./, 500).catch(() => undefined);
    term.write('end\n');
    await term.until(/got end\r\n/);
    expect(await term.closed).toBe(0);
    await podInPhase(t, NS, 'piped', 'Succeeded');
    await refused(/cannot attach a container in a completed pod; current phase is Succeeded/, 'attach', 'piped');
    await refused(/container nope not found in pod box|container nope is not valid/, 'attach', 'box', '-c', 'nope');
    await refused(/pods "nope" not found/, 'attach', 'nope');
  });

  test('port-forward: to a pod and to a service, many connections; a closed port and a missing service are errors', async () => {
    for (const target of ['pod/box', 'service/box']) {
      const port = await freePort();
      const ports = `${port}:${target === 'pod/box' ? 8080 : 80}`;
      await using forward = background('kubectl', ['port-forward', target, ports], t.env);
      await forward.until(/Forwarding from 127\.0\.0\.1/);
      const pages = await Promise.all(
        Array.from({ length: 10 }, async () =>
          (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(10_000) })).text(),
        ),
      );
      expect(pages).toEqual(pages.map(() => 'hi\n'));
    }
    const port = await freePort();
    await using closed = background('kubectl', ['port-forward', 'pod/box', `${port}:81`], t.env);
    await closed.until(/Forwarding from 127\.0\.0\.1/);
    await expect(fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(10_000) })).rejects.toThrow();
    expect(await closed.until(/error/i)).toMatch(
      /failed to connect to localhost:81 inside the pod: .*connection refused/,
    );
    await refused(/services "nope" not found/, 'port-forward', 'service/nope', `${port}:80`);
    await refused(/does not have a service port 99|Service box/, 'port-forward', 'service/box', `${port}:99`);
  });

  test('proxy: pods, services and nodes, by get --raw and through kubectl proxy; what cannot be reached is an error', async () => {
    const at = (rest: string): string => `/api/v1/namespaces/${NS}/${rest}`;
    for (const place of ['pods/box:8080', 'pods/box', 'services/box:80', 'services/box', 'services/http:box:'])
      expect(await ok('get', '--raw', at(`${place}/proxy/index.html`)), place).toBe('hi\n');
    await refused(/no service port 81 found for service "box"/, 'get', '--raw', at('services/box:81/proxy/'));
    await refused(
      /error trying to reach service: dial tcp [\d.]+:81: connect: connection refused/,
      'get',
      '--raw',
      at('pods/box:81/proxy/'),
    );
    await refused(/services "nope" not found|endpoints "nope" not found/, 'get', '--raw', at('services/nope/proxy/'));
    // The API server itself, on its host, which is the node's too.
    const node = `https:${t.layout.nodes[0]?.name}:${t.layout.apiPort}`;
    expect(await ok('get', '--raw', `/api/v1/nodes/${node}/proxy/version`)).toContain('gitVersion');
    await refused(/serves no kubelet API/, 'get', '--raw', `/api/v1/nodes/${t.layout.nodes[0]?.name}/proxy/healthz`);
    const port = await freePort();
    await using proxy = background('kubectl', ['proxy', `--port=${port}`], t.env);
    await proxy.until(/Starting to serve/);
    const url = `http://127.0.0.1:${port}${at('services/box/proxy')}`;
    const page = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    expect([page.url, await page.text()]).toEqual([`${url}/`, 'hi\n']);
    const missing = await fetch(`${url}/nope`, { method: 'HEAD', signal: AbortSignal.timeout(10_000) });
    expect(missing.status).toBe(404);
  });

  test('run -i --rm and attach: the input reaches the program, the pod is gone after', async () => {
    const args = ['run', 'once', '-i', '--rm', '--restart=Never', `--image=${image}`, '--command', '--', 'cat'];
    await using once = background('kubectl', args, t.env);
    once.write('through run\n');
    await once.until(/through run\n/);
    once.endInput();
    expect(await once.closed).toBe(0);
    expect(once.output).toContain('pod "once" deleted');
    await refused(/pods "once" not found/, 'get', 'pod', 'once');
    await refused(/pods "once" not found/, 'attach', 'once');
  });
});
