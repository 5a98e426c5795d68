import { EventEmitter, once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, type Pod } from '#lib/api';
import { StatusError } from '#lib/base';
import { selectorText } from '../client/pods.ts';
import { scriptedNode, startTestSession, type TestSession } from '../testing/session.ts';
import { exec, exitCodeOf, type Terminal } from './exec.ts';
import { logQuery, logs } from './logs.ts';

let t: TestSession;
const asked: unknown[] = [];
beforeAll(async () => {
  const nodeStreams = scriptedNode(async (request, io) => {
    asked.push(request.logs);
    if (request.kind === 'logs') {
      io.stdout.write(`first of ${request.pod.name}\nsecond of ${request.container}\n`);
      return 0;
    }
    const [program = '', ...rest] = request.command ?? [];
    if (program === 'cat') io.stdout.write(await text(io.stdin));
    if (program === 'echo') io.stdout.write(`${rest.join(' ')}\n`);
    if (program === 'fail') io.stderr.write('no\n');
    if (program === 'size') {
      while (io.sizes.length < 2) await new Promise((resolve) => setImmediate(resolve));
      io.stdout.write(io.sizes.map((x) => x.join('x')).join(' '));
    }
    if (program === 'missing') throw new StatusError('Invalid', 'exec: "missing": executable file not found');
    return program === 'fail' ? 7 : 0;
  });
  t = await startTestSession({ nodeStreams });
  const pod = (name: string, o: { node?: string; containers?: string[]; label?: string } = {}): Promise<unknown> =>
    t.server.client.create<Pod>(
      Kinds.pods,
      {
        metadata: { name, namespace: 'default', labels: { app: o.label ?? 'none' } },
        spec: {
          containers: (o.containers ?? ['c']).map((c) => ({ name: c, image: 'x' })),
          ...(o.node === undefined ? {} : { nodeName: o.node }),
        },
      },
      t.session().c,
    );
  await pod('one', { node: 'n1' });
  await pod('two', { node: 'n1', containers: ['a', 'b'] });
  await pod('homeless');
  await pod('lost', { node: 'gone' });
  await pod('web-1', { node: 'n1', label: 'web' });
  await pod('web-2', { node: 'n1', label: 'web' });
});
afterAll(async () => {
  await t[Symbol.asyncDispose]();
});

describe('logs', () => {
  test('of a pod, of a container, of all containers with a prefix, of a selector', async () => {
    const s = t.session();
    expect(await logs('one', { tail: '5', since: '90s' }, s)).toBe(0);
    expect(t.out.take()).toBe('first of one\nsecond of c\n');
    expect(asked.at(-1)).toMatchObject({ tailLines: 5, sinceSeconds: 90 });
    await logs('pod/two', { container: 'b' }, s);
    expect(t.out.take()).toBe('first of two\nsecond of b\n');
    await logs('two', { allContainers: true, prefix: true, follow: true }, s);
    expect(t.out.take().split('\n').sort().slice(1)).toEqual([
      '[pod/two/a] first of two',
      '[pod/two/a] second of a',
      '[pod/two/b] first of two',
      '[pod/two/b] second of b',
    ]);
    await logs(undefined, { selector: 'app=web' }, s);
    expect(
      t.out
        .take()
        .split('\n')
        .filter((l) => l.startsWith('first'))
        .sort(),
    ).toEqual(['first of web-1', 'first of web-2']);
  });

  test('errors say what is wrong and what to do', async () => {
    const s = t.session();
    await expect(logs('nobody', {}, s)).rejects.toThrow('pods "nobody" not found');
    await expect(logs('two', {}, s)).rejects.toThrow(
      'a container name must be specified for pod two, choose one of: [a b]',
    );
    await expect(logs('one', { container: 'z' }, s)).rejects.toThrow('container z is not valid for pod one');
    await expect(logs('homeless', {}, s)).rejects.toThrow(
      "pod homeless is not on a node yet (phase Pending): 'berth get events' tells why",
    );
    await expect(logs('lost', {}, s)).rejects.toThrow('node gone is not connected');
    await expect(logs(undefined, {}, s)).rejects.toThrow('say whose');
    await expect(logs('one', { tail: 'x' }, s)).rejects.toThrow('--tail x: a whole number from -1');
    await expect(logs('one', { since: '5 minutes' }, s)).rejects.toThrow('a duration such as 30s');
    await expect(logs('cm/one', {}, s)).rejects.toThrow('configmaps "one" not found');
    expect(await logs(undefined, { selector: 'app=nobody' }, s)).toBe(0);
    expect(t.err.take()).toBe('No pods match app=nobody in namespace default.\n');
  });

  test('query', () => {
    expect(logQuery({ selector: 'a=b' }, 0)).toMatchObject({ tailLines: '10' });
    expect(logQuery({ tail: '-1' }, 0)['tailLines']).toBeUndefined();
    expect(logQuery({ since: '1h30m' }, 0)).toMatchObject({ sinceSeconds: '5400' });
    expect(() => logQuery({ sinceTime: 'yesterday' }, 0)).toThrow('a time such as 1970-01-01T00:00:00Z');
  });

  test('the selector of a workload, of a Service, of neither', () => {
    const matchExpressions = [
      { key: 'tier', operator: 'In', values: ['a', 'b'] },
      { key: 'x', operator: 'DoesNotExist' },
    ];
    expect(selectorText({ spec: { selector: { matchLabels: { app: 'web' }, matchExpressions } } })).toBe(
      'app=web,tier in (a,b),!x',
    );
    expect(selectorText({ spec: { selector: { app: 'web' } } })).toBe('app=web');
    expect(selectorText({ spec: {} })).toBeUndefined();
  });
});

class FakeTerminal extends EventEmitter {
  readonly stdin: PassThrough & { isTTY?: boolean; setRawMode?(on: boolean): void } = new PassThrough();
  readonly stdout: PassThrough & { isTTY?: boolean; columns?: number; rows?: number } = new PassThrough();
  readonly stderr = new PassThrough();
  readonly modes: boolean[] = [];

  constructor(o: { tty: boolean }) {
    super();
    this.stdin.isTTY = o.tty;
    this.stdin.setRawMode = (on) => void this.modes.push(on);
    Object.assign(this.stdout, { columns: 80, rows: 24 });
  }

  printed(): string {
    return String(this.stdout.read() ?? '');
  }
}

function terminal(o = { tty: false }): FakeTerminal & Terminal {
  return new FakeTerminal(o) as FakeTerminal & Terminal;
}

describe('exec', () => {
  test('output, exit code and stderr come back; input ends at its end', async () => {
    const s = t.session();
    const one = terminal();
    expect(await exec('one', ['echo', 'a', 'b c'], {}, s, one)).toBe(0);
    expect(one.printed()).toBe('a b c\n');
    const failing = terminal();
    expect(await exec('pod/one', ['fail'], {}, s, failing)).toBe(7);
    expect(String(failing.stderr.read())).toBe('no\n');
    const piped = terminal();
    const bytes = 'x'.repeat(300_000);
    piped.stdin.end(bytes);
    const [code, printed] = await Promise.all([
      exec('one', ['cat'], { stdin: true }, s, piped).finally(() => piped.stdout.end()),
      text(piped.stdout),
    ]);
    expect(code).toBe(0);
    expect(printed).toBe(bytes);
  });

  test('with a terminal: raw while it runs, its size and every new one are sent', async () => {
    const one = terminal({ tty: true });
    const running = exec('one', ['size'], { stdin: true, tty: true }, t.session(), one);
    await expect.poll(() => one.stdout.listenerCount('resize')).toBe(1);
    Object.assign(one.stdout, { columns: 100, rows: 30 });
    one.stdout.emit('resize');
    expect(await running).toBe(0);
    expect(one.printed()).toBe('80x24 100x30');
    expect(one.modes).toEqual([true, false]);
    expect(one.stdout.listenerCount('resize')).toBe(0);
  });

  test('-t without a terminal is told and goes on without', async () => {
    const one = terminal();
    expect(await exec('one', ['echo', 'x'], { tty: true }, t.session(), one)).toBe(0);
    expect(t.err.take()).toContain('Standard input is not a terminal');
  });

  test('what cannot be run: the reason, not an exit code', async () => {
    const s = t.session();
    await expect(exec('one', ['missing'], {}, s, terminal())).rejects.toThrow(
      /^exec: "missing": executable file not found$/,
    );
    await expect(exec('two', ['ls'], {}, s, terminal())).rejects.toThrow('choose one of: [a b]');
    await expect(exec('nobody', ['ls'], {}, s, terminal())).rejects.toThrow('pods "nobody" not found');
    await expect(exec('lost', ['ls'], {}, s, terminal())).rejects.toThrow('node gone is not connected');
    await expect(exec('one', [], {}, s, terminal())).rejects.toThrow('berth exec one -- ls /');
    expect(() => exitCodeOf('')).toThrow('cut before the command ended');
  });

  test('an end of the input before the command ends does not end the output', async () => {
    const one = terminal();
    one.stdin.end();
    await once(one.stdin, 'end', { signal: AbortSignal.timeout(10) }).catch(() => undefined);
    expect(await exec('one', ['cat'], { stdin: true }, t.session(), one)).toBe(0);
  });
});
