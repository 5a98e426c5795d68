/** The door of an agent's engine: nothing is loaded before somebody comes; TCP by certificates alone; one engine of an instance. Needs root. */
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, realRandom, silentLogger } from '#lib/base';
import { createCa, issue } from '#lib/pki';
import { type Door, type DoorEngine, type DoorSettings, openDoor } from '../../agent/engine/door.ts';
import { defaultNodeConfiguration } from '../../agent/node-configuration.ts';
import { TestEngine } from '../harness/engine.ts';

let engine: TestEngine;
let options: DoorEngine;
beforeAll(async () => {
  engine = await TestEngine.open();
  await engine.stop();
  const { isolation, runtimeHandlers } = await defaultNodeConfiguration(engine.home);
  options = {
    ...{ kernel: engine.kernel, images: engine.images, folder: engine.folder, instance: engine.instance },
    ...{ runtime: 'auto', runtimeHandlers, isolation, version: 'v0.0.0-door' },
    registries: { certsFolder: join(engine.home, 'certs.d') },
    ...{ clock: realClock, random: realRandom, log: engine.c.log },
  };
});
afterAll(async () => {
  await engine.start();
  await engine.close();
});

const door = (settings: Partial<DoorSettings> = {}, o: Partial<DoorEngine> = {}): Promise<Door> =>
  openDoor({ socket: engine.socket, ...settings }, { ...options, ...o }, engine.c);

test('the engine is opened by the first who asks, once for many at the same time', async () => {
  rmSync(join(engine.folder, 'engine-id'));
  await using _ = await door();
  await realClock.sleep(50);
  const answers = await Promise.all([1, 2, 3].map(() => engine.get('/info')));
  expect(answers.map((a) => a.status)).toEqual([200, 200, 200]);
  expect(new Set(answers.map((a) => a.json.ID)).size).toBe(1);
  expect(answers[0]?.json.ServerVersion).toBe('0.0.0-door');
});

test('with containers it is opened at once', async () => {
  rmSync(join(engine.folder, 'engine-id'));
  const folder = join(engine.folder, 'containers', 'f'.repeat(64));
  mkdirSync(folder, { recursive: true });
  try {
    await using _ = await door();
    expect((await engine.get('/_ping')).status).toBe(200);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('an engine that cannot be opened says why, and is tried again by the next who asks', async () => {
  const blocked = join(engine.home, 'blocked');
  writeFileSync(blocked, '');
  await using _ = await door({}, { folder: blocked, log: silentLogger });
  const refused = await engine.get('/_ping');
  expect(refused.status).toBe(503);
  expect(refused.json.message).toContain('the Docker engine cannot be opened');
  rmSync(blocked);
  expect((await engine.get('/_ping')).status).toBe(200);
});

test('one engine of an instance, one of a folder: the second is told who has it', async () => {
  await using _ = await door();
  const other = join(engine.home, 'other.sock');
  await expect(door({ socket: other })).rejects.toThrow(
    `the Docker API of instance "${engine.instance}" is served by process ${process.pid} already`,
  );
  await expect(door({ socket: other }, { instance: 'other' })).rejects.toThrow(`of ${engine.folder} is served by`);
});

test('TCP: with a certificate of the authority, and with no other', async () => {
  const [authority, strangers] = [await createCa('ours'), await createCa('theirs')];
  const certificate = async (
    ca: typeof authority,
    usage: 'server' | 'client',
  ): Promise<{ cert: string; key: string }> => {
    const names = { commonName: usage, ipAddresses: ['127.0.0.1'] };
    const { certPem: cert, keyPem: key } = await issue(ca, { ...names, usages: [usage], days: 1 });
    return { cert, key };
  };
  const tls = { ...(await certificate(authority, 'server')), ca: authority.certPem };
  await using opened = await door({ tcp: { host: '127.0.0.1', port: 0, tls } });
  const { port } = opened;
  const ask = (client: object): Promise<string> =>
    new Promise((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port, path: '/_ping', agent: false, ...client }, (res) => {
        let text = `${res.statusCode} `;
        res.on('data', (d: Buffer) => {
          text += d.toString();
        });
        res.on('end', () => resolve(text));
      });
      req.on('error', reject);
      req.end();
    });
  const ca = authority.certPem;
  expect(await ask({ ca, ...(await certificate(authority, 'client')) })).toBe('200 OK');
  expect(await ask({ ca })).toMatch(/^401 \{"message":"a client certificate/);
  expect(await ask({ ca, ...(await certificate(strangers, 'client')) })).toMatch(/^401 /);
  await expect(ask({})).rejects.toThrow(/certificate/);
  /* A stranger is told so before anything of a body is waited for, also where the connection would be taken over. */
  const attach = connect({ host: '127.0.0.1', port: port ?? 0, ca });
  attach.on('error', () => undefined);
  attach.write('POST /containers/x/attach HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n{');
  expect(String(await once(attach, 'data'))).toMatch(/^HTTP\/1.1 401 /);
  attach.destroy();
  /* Bytes that are no TLS end their connection alone. */
  const noise = connect({ host: '127.0.0.1', port: port ?? 0, rejectUnauthorized: false });
  noise.on('error', () => undefined);
  noise.destroy();
  expect((await engine.get('/_ping')).status).toBe(200);
});
