/**
 * The registry as a process: `main.ts --folder PATH [--host 127.0.0.1] [--port 5000] [--tls-key FILE --tls-cert FILE]
 * [--settings FILE] [--sockets FOLDER] [--api https://HOST:PORT --pki FOLDER] [--log-level info]`; each flag also as
 * BERTH_REGISTRY_<NAME>. Prints one line of JSON when it listens, ends on SIGTERM.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Ctx, createLogger, messageOf, realClock, realRandom, Scope } from '#lib/base';
import { ClusterApi } from './cluster/api.ts';
import { ClusterIdentity } from './cluster/identity.ts';
import { neededImages } from './cluster/needed.ts';
import { type RegistryCluster, startRegistry } from './registry.ts';
import type { S3Settings } from './s3/bucket.ts';
import type { S3Storage } from './settings.ts';
import { SettingsFile } from './settings-file.ts';

const FLAGS = [
  'folder',
  'host',
  'port',
  'tls-key',
  'tls-cert',
  'settings',
  'sockets',
  'api',
  'pki',
  'log-level',
] as const;
const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'];
type Settings = Partial<Record<(typeof FLAGS)[number], string>>;

function readSettings(argv: readonly string[], env: NodeJS.ProcessEnv): Settings {
  const options = Object.fromEntries(FLAGS.map((f) => [f, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...argv], options });
  const out: Settings = {};
  for (const flag of FLAGS) {
    const value = values[flag] ?? env[`BERTH_REGISTRY_${flag.toUpperCase().replaceAll('-', '_')}`];
    if (typeof value === 'string') out[flag] = value;
  }
  return out;
}

function mistakes(s: Settings): readonly string[] {
  const port = Number(s.port ?? 5000);
  const level = s['log-level'] ?? 'info';
  return [
    ...(LEVELS.includes(level) ? [] : [`--log-level ${level}: one of ${LEVELS.join(', ')}`]),
    ...(s.folder ? [] : ['--folder is missing: where the registry keeps images']),
    ...(Number.isInteger(port) && port >= 0 && port <= 65535 ? [] : [`--port ${s.port} is not a port number`]),
    ...((s.api === undefined) === (s.pki === undefined) ? [] : ['--api and --pki go together']),
    ...((s['tls-key'] === undefined) === (s['tls-cert'] === undefined) ? [] : ['--tls-key and --tls-cert go together']),
  ];
}

async function main(): Promise<void> {
  const s = readSettings(process.argv.slice(2), process.env);
  const wrong = mistakes(s);
  if (wrong.length > 0) {
    for (const text of wrong) process.stderr.write(`registry: ${text}\n`);
    process.exitCode = 2;
    return;
  }
  const log = createLogger({ component: 'registry', level: s['log-level'] });
  const [key, cert] = await Promise.all(
    [s['tls-key'], s['tls-cert']].map((f) => (f === undefined ? undefined : readFile(f, 'utf8'))),
  );
  await using scope = new Scope('registry process');
  const settings = s.settings === undefined ? undefined : await SettingsFile.open(s.settings);
  const c: Ctx = { signal: scope.signal, clock: realClock, log };
  if (settings !== undefined) scope.spawn('settings', (signal) => settings.run({ ...c, signal }));
  const registry = scope.own(
    await startRegistry({
      listen: { host: s.host ?? '127.0.0.1', port: Number(s.port ?? 5000) },
      folder: s.folder ?? '',
      s3: await s3Of(settings?.now.storage),
      log,
      clock: realClock,
      random: realRandom,
      tls: key !== undefined && cert !== undefined ? { key, cert } : undefined,
      settings: settings && (() => settings.now),
      socketsFolder: s.sockets,
      cluster: s.api !== undefined && s.pki !== undefined ? clusterOf(s.api, s.pki, scope) : undefined,
    }),
  );
  log.info({ url: registry.url }, 'registry listens');
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}

async function s3Of(s: S3Storage | undefined): Promise<S3Settings | undefined> {
  if (s === undefined) return undefined;
  const { secretAccessKeyFile, caFile, ...rest } = s;
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8');
  return { ...rest, secretAccessKey: (await readFile(secretAccessKeyFile, 'utf8')).trim(), ca };
}

function clusterOf(server: string, pkiFolder: string, scope: Scope): RegistryCluster {
  const api = new ClusterApi({ server, pkiFolder });
  scope.defer(() => api[Symbol.dispose]());
  return { identity: new ClusterIdentity(api, realClock), needed: (c) => neededImages(api, c) };
}

main().catch((e: unknown) => {
  process.stderr.write(`registry: ${messageOf(e)}\n`);
  process.exitCode = 2;
});
