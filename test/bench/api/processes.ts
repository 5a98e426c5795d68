/** The processes of the API bench: bundled as `npm run build` does, so that boot is measured as installed. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Agent, request } from 'undici';
import { realClock } from '#lib/base';
import { createCa, issue, type KeyPair } from '#lib/pki';
import { startEtcd, type TestEtcd } from '../../harness/etcd.ts';
import { freePort, ServerProcess } from '../../harness/process.ts';
import type { ConstantConfig } from './constant.ts';
import type { BenchServerConfig } from './server.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const OUT = join(ROOT, 'dist/bench');
/** As `berth up` starts `berth server` (cli/process.ts). */
const NODE_FLAGS = ['--max-semi-space-size=8'];
const READY_LIMIT_MS = 60_000;

export interface BenchTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface BenchTarget {
  readonly url: string;
  readonly tls: BenchTls;
}

export interface ApiBench extends AsyncDisposable {
  readonly api: BenchTarget;
  readonly constant: BenchTarget;
  /** Ends the API server if it runs, starts it, resolves when /readyz says ok: milliseconds from the start of the process. */
  boot(): Promise<number>;
  /** Of the API server, MB. */
  rss(): Promise<number>;
}

export async function startApiBench(): Promise<ApiBench> {
  await bundle();
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-api-'));
  const etcd = await startEtcd();
  const ca = await createCa('bench');
  const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
  const tls = await issue(ca, { commonName: 'apiserver', ...names, usages: ['server'], days: 1 });
  const admin = await issue(ca, {
    commonName: 'bench',
    organizations: ['system:masters'],
    usages: ['client'],
    days: 1,
  });
  const files = { folder, tls, ca, etcd, flags: process.env['BENCH_NODE_FLAGS']?.split(' ') ?? [] };
  const api = await apiProcess(files);
  const constant = await constantProcess(files);
  const client = { ca: ca.certPem, cert: admin.certPem, key: admin.keyPem };
  await constant.process.start();
  return {
    api: { url: api.url, tls: client },
    constant: { url: constant.url, tls: client },
    boot: async () => {
      await api.process.kill('SIGTERM');
      const begin = realClock.monotonic();
      await api.process.start();
      await untilReady(api.url, client);
      return realClock.monotonic() - begin;
    },
    rss: async () => {
      const status = await readFile(`/proc/${api.process.pid ?? 0}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) / 1024;
    },
    async [Symbol.asyncDispose]() {
      await api.process.kill('SIGTERM');
      await constant.process.kill();
      await etcd[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface Parts {
  readonly folder: string;
  readonly tls: KeyPair;
  readonly ca: KeyPair;
  readonly etcd: TestEtcd;
  /** More of Node's own, as a profiler needs. */
  readonly flags: readonly string[];
}

async function apiProcess({ folder, tls, ca, etcd, flags }: Parts): Promise<{ process: ServerProcess; url: string }> {
  const port = await freePort();
  const auditPath = join(folder, 'audit', 'audit.log');
  await mkdir(join(folder, 'audit'));
  const config: BenchServerConfig = { etcd: etcd.endpoint, port, tls, caPem: ca.certPem, auditPath };
  const path = join(folder, 'server.json');
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  const args = [...NODE_FLAGS, ...flags, join(OUT, 'server.js'), path];
  return { process: new ServerProcess(process.execPath, args, port), url: `https://127.0.0.1:${port}` };
}

async function constantProcess({ folder, tls, ca }: Parts): Promise<{ process: ServerProcess; url: string }> {
  const port = await freePort();
  const config: ConstantConfig = { port, tls, caPem: ca.certPem };
  const path = join(folder, 'constant.json');
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  const args = [...NODE_FLAGS, join(OUT, 'constant.js'), path];
  return { process: new ServerProcess(process.execPath, args, port), url: `https://127.0.0.1:${port}` };
}

async function untilReady(url: string, tls: BenchTls): Promise<void> {
  const agent = new Agent({ connect: { ...tls } });
  const end = realClock.monotonic() + READY_LIMIT_MS;
  try {
    for (;;) {
      const { statusCode, body } = await request(`${url}/readyz`, { dispatcher: agent });
      const text = await body.text();
      if (statusCode === 200) return;
      if (realClock.monotonic() > end) throw new Error(`/readyz: ${statusCode} ${text}`);
      await realClock.sleep(5);
    }
  } finally {
    await agent.close();
  }
}

async function bundle(): Promise<void> {
  const require =
    "import { createRequire as benchRequire } from 'node:module'; const require = benchRequire(import.meta.url);";
  const dirname =
    "import { fileURLToPath as benchPath } from 'node:url'; const __filename = benchPath(import.meta.url); const __dirname = benchPath(new URL('.', import.meta.url));";
  await build({
    absWorkingDir: ROOT,
    entryPoints: { server: 'test/bench/api/server.ts', constant: 'test/bench/api/constant.ts' },
    outdir: OUT,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: `${require}${dirname}` },
    legalComments: 'none',
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: 'warning',
  });
}
