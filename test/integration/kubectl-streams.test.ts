/**
 * Stock kubectl logs, exec, attach and port-forward through the API server to a scripted node: bytes, exit codes, errors and
 * half-closes arrive. The real node is tested in test/e2e.
 */
import { execFile, spawn } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, type Pod } from '#lib/api';
import { realClock, StatusError } from '#lib/base';
import { type NodeStream, type NodeStreamRequest, type NodeStreams, newKubeconfig, writeKubeconfig } from '#lib/client';
import {
  testContext as c,
  eventually,
  startTestServer,
  type TestServer,
} from '../../services/apiserver/testing/server.ts';

const KUBECTL = '/usr/bin/kubectl';
const hasKubectl = await access(KUBECTL).then(
  () => true,
  () => false,
);

/** exec: `cat` copies stdin, `exit N` ends so, `both` writes to both outputs. Logs are two lines. A port echoes in capitals. */
class ScriptedNode implements NodeStreams {
  readonly requests: NodeStreamRequest[] = [];

  async openStream(_node: string, request: NodeStreamRequest): Promise<NodeStream> {
    this.requests.push(request);
    if (request.container === 'broken') throw new StatusError('BadRequest', 'container "broken" is waiting to start');
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const result = this.#run(request, { stdin, stdout, stderr })
      .finally(() => {
        stdout.end();
        stderr.end();
      })
      .then((exitCode) => ({ exitCode }));
    result.catch(() => undefined);
    return {
      stdin,
      stdout,
      stderr,
      result,
      resize: () => undefined,
      [Symbol.asyncDispose]: async () => void stdin.destroy(),
    };
  }

  async #run(request: NodeStreamRequest, io: Record<'stdin' | 'stdout' | 'stderr', PassThrough>): Promise<number> {
    if (request.kind === 'logs' && request.logs?.previous)
      throw new StatusError('BadRequest', 'previous terminated container "main" in pod "p" not found');
    if (request.kind === 'logs' && request.logs?.tailLines === 0) return 0;
    if (request.kind === 'logs') {
      if (request.logs?.sinceSeconds !== undefined) await realClock.sleep(1_500);
      io.stdout.write('line 1\nline 2\n');
      return 0;
    }
    if (request.kind === 'portforward') {
      for await (const chunk of io.stdin) io.stdout.write(String(chunk).toUpperCase());
      return 0;
    }
    const [name, argument] = request.command ?? [];
    if (name === 'cat') for await (const chunk of io.stdin) io.stdout.write(chunk);
    if (name === 'both') {
      io.stdout.write('out\n');
      io.stderr.write('err\n');
    }
    return name === 'exit' ? Number(argument) : 0;
  }
}

let server: TestServer;
let folder: string;
let env: NodeJS.ProcessEnv;
const node = new ScriptedNode();

beforeAll(async () => {
  server = await startTestServer({ listen: true, nodeStreams: node });
  folder = await mkdtemp(join(tmpdir(), 'berth-kubectl-'));
  env = { ...process.env, HOME: folder, KUBECONFIG: join(folder, 'config') };
  const pair = await server.issueClient('admin', ['system:masters']);
  await writeKubeconfig(
    join(folder, 'config'),
    newKubeconfig({ name: 'test', server: server.url, caPem: server.ca.certPem, ...pair }),
  );
  const spec = {
    containers: [
      { name: 'main', image: 'busybox' },
      { name: 'broken', image: 'busybox' },
    ],
  };
  const annotations = { 'kubectl.kubernetes.io/default-container': 'main' };
  await server.client.create<Pod>(
    Kinds.pods,
    { metadata: { name: 'p', namespace: 'default', annotations }, spec } as never,
    c,
  );
  const key = { namespace: 'default', name: 'p' };
  await server.client.createSub(
    Kinds.pods,
    key,
    'binding',
    { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n1' } },
    c,
  );
  const body = { status: { phase: 'Running' } };
  await server.client.patch(Kinds.pods, key, { type: 'merge', body }, c, { subresource: 'status' });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function kubectl(args: readonly string[], input = ''): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(KUBECTL, [...args], { env, timeout: 20_000 }, (e, out, err) => {
      resolve({ code: e === null ? 0 : typeof e.code === 'number' ? e.code : 1, out, err });
    });
    child.stdin?.end(input);
  });
}

describe.skipIf(!hasKubectl)('kubectl streams (needs /usr/bin/kubectl)', () => {
  test('logs: text, options reach the node, errors are told', async () => {
    const run = await kubectl(['logs', 'p', '--tail=5', '--timestamps', '-f']);
    expect(run).toMatchObject({ code: 0, out: 'line 1\nline 2\n' });
    expect(node.requests.at(-1)).toMatchObject({
      kind: 'logs',
      container: 'main',
      logs: { tailLines: 5, timestamps: true, follow: true },
    });
    expect(await kubectl(['logs', 'p', '--tail=0'])).toMatchObject({ code: 0, out: '', err: '' });
    expect(await kubectl(['logs', 'p', '--since=9s'])).toMatchObject({ code: 0, out: 'line 1\nline 2\n' });
    const refused = await kubectl(['logs', 'p', '--previous']);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('(BadRequest): previous terminated container "main" in pod "p" not found');
    expect((await kubectl(['logs', 'p', '-c', 'broken'])).err).toContain('container "broken" is waiting to start');
    expect((await kubectl(['logs', 'p', '-c', 'nope'])).err).toContain('container nope is not valid for pod p');
    expect((await kubectl(['logs', 'missing'])).err).toContain('pods "missing" not found');
  });

  test('exec: both outputs, stdin to its end, exit codes', async () => {
    expect(await kubectl(['exec', 'p', '--', 'both'])).toMatchObject({
      code: 0,
      out: 'out\n',
      err: expect.stringContaining('err\n'),
    });
    const text = 'x'.repeat(300_000);
    expect(await kubectl(['exec', '-i', 'p', '--', 'cat'], text)).toMatchObject({ code: 0, out: text });
    const failed = await kubectl(['exec', 'p', '--', 'exit', '7']);
    expect(failed.code).toBe(7);
    expect(failed.err).toContain('command terminated with exit code 7');
    expect(node.requests.at(-1)).toMatchObject({ kind: 'exec', command: ['exit', '7'], container: 'main' });
    expect((await kubectl(['exec', 'p', '-c', 'nope', '--', 'x'])).err).toContain(
      'container nope is not valid for pod p',
    );
  });

  test('port-forward: bytes both ways, several connections', async () => {
    const child = spawn(KUBECTL, ['port-forward', 'p', ':8080'], { env });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    try {
      const port = await eventually(() => Number(/127\.0\.0\.1:(\d+) -> 8080/.exec(out)?.[1] ?? fail()));
      for (const word of ['hello', 'again']) expect(await exchange(port, word)).toBe(word.toUpperCase());
      expect(node.requests.at(-1)).toMatchObject({ kind: 'portforward', port: 8080 });
    } finally {
      child.kill();
    }
  });
});

function fail(): never {
  throw new Error('no port yet');
}

function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
      if (answer.length >= text.length) socket.destroy();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}
