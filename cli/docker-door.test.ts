import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { dockerDoor } from './docker-door.ts';

const folder = mkdtempSync(join(tmpdir(), 'berth-door-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('docker door: the socket is the instance’s unless one is named', async () => {
  expect(await dockerDoor({}, 'berth', '--')).toEqual({ socket: '/run/berth/docker.sock' });
  expect(await dockerDoor({}, 'two', '--')).toEqual({ socket: '/run/berth-two/docker.sock' });
  expect(await dockerDoor({ socket: '/tmp/x' }, 'berth', '--')).toEqual({ socket: '/tmp/x' });
  await expect(dockerDoor({ socket: `/${'x'.repeat(107)}` }, 'berth', '--docker-')).rejects.toThrow('--docker-socket');
});

test('docker door: TCP without certificates is refused in words that name what is missing', async () => {
  await expect(dockerDoor({ tcp: '0.0.0.0:2375' }, 'berth', '--docker-')).rejects.toThrow(
    /root here.*missing: --docker-tlscacert, --docker-tlscert, --docker-tlskey/,
  );
  await expect(dockerDoor({ tcp: 'tcp://10.0.0.1:2376', tlscert: 'a', tlskey: 'b' }, 'berth', '--')).rejects.toThrow(
    'missing: --tlscacert)',
  );
  await expect(dockerDoor({ tlskey: 'b' }, 'berth', '--')).rejects.toThrow('mean nothing without --tcp');
  await expect(dockerDoor({ tcp: 'host' }, 'berth', '--')).rejects.toThrow('HOST:PORT');
  await expect(dockerDoor({ tcp: 'some.name:1' }, 'berth', '--')).rejects.toThrow('an address of this host');
});

test('docker door: files that are not there, or hold no certificate, are named', async () => {
  const at = (name: string) => join(folder, name);
  const options = { tcp: '127.0.0.1:0', tlscacert: at('ca'), tlscert: at('cert'), tlskey: at('key') };
  await expect(dockerDoor({ ...options, tcp: '127.0.0.1:2376' }, 'berth', '--')).rejects.toThrow('--tlscacert');
  for (const name of ['ca', 'cert', 'key']) writeFileSync(at(name), 'nothing');
  await expect(dockerDoor({ ...options, tcp: '127.0.0.1:2376' }, 'berth', '--')).rejects.toThrow('--tls…: ');
});
