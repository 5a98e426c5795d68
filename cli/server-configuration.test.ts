import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, type Logger, VirtualClock } from '#lib/base';
import { apiSettings, readServerConfiguration, ServerConfigurationKeeper } from './server-configuration.ts';

const HEAD = 'apiVersion: config.berth.dev/v1\nkind: ServerConfiguration\n';
const JWT = `jwt:
- issuer: {url: 'https://id.example', audiences: [kube]}
  claimMappings: {username: {claim: sub, prefix: ''}}
`;
let home: string;
let path: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'settings-'));
  path = join(home, 'server.yaml');
});
afterEach(async () => {
  await rm(home, { recursive: true });
});

const layout = () => ({ home, clusterDomain: 'cluster.local' });

test('settings of the file reach the API server; without it all have their defaults; a mistake names file and field', async () => {
  expect(apiSettings((await readServerConfiguration(layout())).settings)).toEqual({
    jwt: [],
    defaultTolerationSeconds: undefined,
    requestSeats: undefined,
    shutdownDelayMs: undefined,
  });
  const text = `${HEAD}${JWT}defaultTolerationSeconds: 30\nmaxRequestsInFlight: 5\nshutdownDelaySeconds: 2\n`;
  await writeFile(path, text);
  expect(apiSettings((await readServerConfiguration(layout())).settings)).toMatchObject({
    jwt: [{ issuer: { url: 'https://id.example' } }],
    defaultTolerationSeconds: 30,
    requestSeats: 5,
    shutdownDelayMs: 2_000,
  });
  await writeFile(path, text.replace('id.example', 'kubernetes.default.svc.cluster.local'));
  await expect(readServerConfiguration(layout())).rejects.toMatchObject({
    kind: 'BadRequest',
    message: expect.stringContaining(
      `${path}: the server configuration is not valid: jwt[0].issuer.url: Invalid value`,
    ),
  });
  await rm(path);
  await writeFile(join(home, 'x'), '');
  await expect(readServerConfiguration({ ...layout(), home: join(home, 'x') })).rejects.toThrow('cannot read');
});

test('a change is taken up once it rests; one that is not valid changes nothing; what waits for a start is told', async () => {
  const used: unknown[] = [];
  const lines: string[] = [];
  const line = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { error: line, warn: line, info: line, debug: line, child: () => log };
  const c: Ctx = { signal: new AbortController().signal, clock: new VirtualClock(), log };
  const server = { useSettings: async (s: object) => void used.push(s) };
  const keeper = new ServerConfigurationKeeper(layout(), server, await readServerConfiguration(layout()));
  const look = async (times = 2): Promise<void> => {
    for (let i = 0; i < times; i++) await keeper.look(c);
  };
  await look(3);
  await writeFile(path, HEAD + JWT);
  await look(1);
  expect(used).toEqual([]);
  await look(1);
  expect(used).toMatchObject([{ jwt: [{ issuer: { url: 'https://id.example' } }] }]);
  await writeFile(path, `${HEAD}seats: 5\n`);
  await look(4);
  expect(used).toHaveLength(1);
  expect(lines.filter((l) => l.includes('unknown field'))).toHaveLength(1);
  await writeFile(path, `${HEAD}maxRequestsInFlight: 5\ndefaultTolerationSeconds: 60\n`);
  await look();
  expect(used[1]).toEqual({ jwt: [], defaultTolerationSeconds: 60 });
  expect(lines.at(-1)).toBe(
    'these settings wait for the next start of this server {"settings":["maxRequestsInFlight"]}',
  );
  await rm(path);
  await look();
  expect(used[2]).toEqual({ jwt: [], defaultTolerationSeconds: undefined });
  expect(lines.at(-1)).toContain('server configuration taken up');
});
