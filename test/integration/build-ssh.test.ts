/** SSH agents in RUN --mount=type=ssh: by OpenSSH's ssh-agent, ssh-add and ssh-keygen. Needs root and crun or runc. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SocketAgent } from '../../agent/build/ssh/agent.ts';
import { forwardAgent } from '../../agent/build/ssh/forward.ts';
import { readAgents } from '../../cli/commands/build-agents.ts';
import { BuildHost, context } from './build-host.ts';

const run = promisify(execFile);
const TYPES = ['ed25519', 'rsa', 'ecdsa'] as const;
const folder = mkdtempSync(join(tmpdir(), 'berth-ssh-'));
const key = (name: string): string => join(folder, name);
const at = (socket: string) => ({ env: { ...process.env, SSH_AUTH_SOCK: socket } });
const socket = join(folder, 'agent');

let agent: ChildProcess;

beforeAll(async () => {
  for (const type of TYPES) execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', type, '-f', key(type)]);
  execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-m', 'PEM', '-N', '', '-f', key('pem')]);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'hidden', '-f', key('locked')]);
  agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  if (agent.stdout !== null) await once(agent.stdout, 'data'); // told when it listens
  execFileSync('ssh-add', ['-q', key('ed25519')], { ...at(socket), stdio: 'ignore' });
});
afterAll(async () => {
  agent.kill();
  if (agent.exitCode === null && agent.signalCode === null) await once(agent, 'exit');
  rmSync(folder, { recursive: true });
});

describe('an agent of key files, asked by OpenSSH', () => {
  test.each([...TYPES, 'pem'])('%s: listed, and what it signs is verified', async (name) => {
    const [own] = (await readAgents([`a=${key(name)}`], {})).values();
    if (own === undefined) throw new Error('no agent');
    const o = { folder, name: `of-${name}`, mode: 0o600, uid: 0, gid: 0 };
    await using _forwarded = await forwardAgent(own, o, context);
    const { stdout } = await run('ssh-add', ['-L'], at(join(folder, o.name)));
    const [type, blob] = readFileSync(`${key(name)}.pub`, 'utf8').split(' ');
    expect(stdout).toBe(`${type} ${blob} berth build\n`);
    const [data, published] = [key(`data-${name}`), key(`only-${name}.pub`)]; // ssh-keygen would take the private key beside it
    writeFileSync(data, 'words');
    copyFileSync(`${key(name)}.pub`, published);
    await run('ssh-keygen', ['-Y', 'sign', '-n', 'test', '-f', published, data], at(join(folder, o.name)));
    const verify = ['-Y', 'check-novalidate', '-n', 'test', '-s', `${data}.sig`];
    expect(execFileSync('ssh-keygen', verify, { input: 'words', encoding: 'utf8' })).toContain('Good "test" signature');
  });

  test('a key with a passphrase, what is no key, no socket', async () => {
    await expect(readAgents([`a=${key('locked')}`], {})).rejects.toThrow('it has a passphrase');
    await expect(readAgents([`a=${key('rsa.pub')}`], {})).rejects.toThrow('it is no private key without a passphrase');
    await expect(readAgents([`a=${socket},${key('rsa')}`], {})).rejects.toThrow('a socket stands alone');
    await expect(readAgents([`a=${folder}`], {})).rejects.toThrow('it is neither a socket nor a private key');
    await expect(readAgents(['default'], {})).rejects.toThrow('the environment has no SSH_AUTH_SOCK');
    await expect(readAgents(['=x'], {})).rejects.toThrow('an id is missing');
    await expect(readAgents(['a', 'a'], { SSH_AUTH_SOCK: socket })).rejects.toThrow('a is given twice');
  });
});

describe('in a RUN', () => {
  let host: BuildHost;

  beforeAll(async () => {
    host = await BuildHost.open();
    await host.base();
    mkdirSync(join(host.context, 'lib'));
    for (const [path] of execFileSync('ldd', ['/usr/bin/ssh-add'], { encoding: 'utf8' }).matchAll(/\/\S+/g))
      copyFileSync(path, join(host.context, 'lib', basename(path)));
    copyFileSync('/usr/bin/ssh-add', join(host.context, 'ssh-add'));
  });
  afterAll(() => host[Symbol.asyncDispose]());

  const TEXT = `FROM base
COPY ssh-add /bin/ssh-add
COPY lib /lib64
ENV LD_LIBRARY_PATH=/lib64
RUN --mount=type=ssh ssh-add -L >/tmp-keys && ssh-add -D; ssh-add -L | cat - && stat -c %u:%a $SSH_AUTH_SOCK
USER app
RUN --mount=type=ssh,uid=1000 ssh-add -L && stat -c %u:%a $SSH_AUTH_SOCK
`;

  test('the agent lists and signs, loses no key, is in no layer, and leaves nothing; a rebuild without it is cached', async () => {
    const published = readFileSync(`${key('ed25519')}.pub`, 'utf8');
    const agents = new Map([['default', new SocketAgent(socket)]]);
    const image = await host.build(TEXT, { agents });
    expect(host.printed.split(published)).toHaveLength(3);
    expect(host.printed).toContain('0:600\n');
    expect(host.printed).toContain('1000:600\n');
    expect(execFileSync('ssh-add', ['-L'], { ...at(socket), encoding: 'utf8' })).toBe(published);
    for (const layer of image.layers.slice(-2)) {
      const names = execFileSync('tar', ['tf', layer.path], { encoding: 'utf8' });
      expect(names).not.toMatch(/buildkit|agent/);
    }
    expect(JSON.parse(image.config.toString())).toMatchObject({ config: { Env: ['LD_LIBRARY_PATH=/lib64'] } });
    expect(readdirSync(join(host.folder, 'home/steps'))).toEqual([]);
    expect((await host.build(TEXT)).id).toBe(image.id);
    expect(host.outcomes.filter((o) => o === 'cached')).toHaveLength(4);
    expect(host.printed).toBe('');
  });
});
