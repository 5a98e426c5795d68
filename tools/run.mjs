/**
 * Entry of the npm scripts, in plain JavaScript because nothing is installed yet when it runs: installs missing Debian
 * packages (their services stay off) and npm packages, builds when sources are newer than dist/, then hands over.
 * `node tools/run.mjs up|down|test|test:unit|test:long|test:cgroup2|bench [arguments]`
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What must be there: a program (looked up in PATH and the sbin folders) or a file, and the Debian package that has it. */
const RUN_NEEDS = [
  ['etcd', 'etcd-server'],
  ['nats-server', 'nats-server'],
  ['runc', 'runc'],
  ['crun', 'crun'],
  ['ip', 'iproute2'],
  ['nft', 'nftables'],
  ['conntrack', 'conntrack'],
  ['nsenter', 'util-linux'],
  ['musl-gcc', 'musl-tools'],
  ['make', 'make'],
  ['busybox', 'busybox-static'],
];
/** Libraries that make it better, and that nothing waits for: a path of those given, and the Debian package that has it. */
const RUN_WANTS = [
  [['/usr/lib/x86_64-linux-gnu/libjemalloc.so.2', '/usr/lib/aarch64-linux-gnu/libjemalloc.so.2'], 'libjemalloc2'],
];
const TEST_NEEDS = [
  ['skopeo', 'skopeo'],
  ['curl', 'curl'],
  ['git', 'git'],
  ['iptables', 'iptables'],
  ['ps', 'procps'],
  ['ssh-agent', 'openssh-client'],
  ['docker-compose', 'docker-compose'],
];

const GUEST_NEEDS = [['qemu-system-x86_64', 'qemu-system-x86']];

/** Tells apt-get to start no service (deb-systemd-invoke, policy-rc.d). The second line says whose it is: a kill may leave it. */
const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_TEXT =
  '#!/bin/sh\n# made by berth while it installs packages; remove it when none are being installed\nexit 101\n';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** A network that swallows packets keeps apt-get for its time limit with each address of each mirror. */
const WANTED_DOWNLOAD_MS = 20_000;

/** What is to be told before the program ends with `code`. */
class Refusal extends Error {
  code;
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

function fail(lines, code = 2) {
  throw new Refusal(lines.join('\n'), code);
}

function has(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.some((f) => f !== '' && existsSync(join(f, program)));
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) fail([`${command}: ${result.error.message}`]);
  if (result.signal !== null || result.status === 130)
    fail([`${command} was interrupted; the same command goes on from here`], 130);
  return result.status ?? 1;
}

function ensurePackages(needs) {
  const missing = needs.filter(([program]) => !has(program));
  const isRoot = process.getuid?.() === 0;
  if (missing.length > 0) requirePackages(missing, isRoot);
  const wanted = RUN_WANTS.filter(([paths]) => !paths.some((p) => existsSync(p))).map(([, p]) => p);
  if (wanted.length > 0 && isRoot && has('apt-get') && !installPackages(wanted, { patient: false }))
    process.stdout.write(`going on without ${wanted.join(' ')}\n`);
}

function requirePackages(missing, isRoot) {
  const packages = [...new Set(missing.map(([, p]) => p))];
  if (!isRoot || !has('apt-get')) {
    fail([
      isRoot
        ? 'apt-get is not on this machine, so these must be installed by hand:'
        : 'Not root, so nothing can be installed. Missing:',
      ...missing.map(([program, p]) => `  ${program.padEnd(14)} Debian package ${p}`),
      `On Debian 12: sudo apt-get update && sudo apt-get install --no-install-recommends ${packages.join(' ')}`,
    ]);
  }
  if (!installPackages(packages, { patient: true }))
    fail([`apt-get could not install ${packages.join(' ')}: see the lines above`]);
}

/** Whether apt-get did. `patient`: it may take its lists anew, and wait for a slow network; else nothing that fails here ends this. */
function installPackages(packages, { patient }) {
  process.stdout.write(`installing ${packages.join(' ')}\n`);
  const ours = !existsSync(POLICY) || readFileSync(POLICY, 'utf8') === POLICY_TEXT;
  try {
    if (ours) writeFileSync(POLICY, POLICY_TEXT, { mode: 0o755 });
  } catch (e) {
    if (patient) throw e;
    return false; // a read-only system
  }
  // Ctrl-C ends apt-get, not this: the file must go, or no package of this machine could start its service ever again.
  const wait = () => undefined;
  for (const signal of SIGNALS) process.on(signal, wait);
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] };
    const args = ['install', '-y', '-qq', '--no-install-recommends', ...packages];
    if (!patient && !download(args, quiet)) return false;
    const install = () => run('apt-get', args, quiet);
    return install() === 0 || (patient && run('apt-get', ['update', '-qq'], quiet) === 0 && install() === 0);
  } finally {
    if (ours) rmSync(POLICY, { force: true });
    for (const signal of SIGNALS) process.off(signal, wait);
  }
}

/** Whether apt-get has what it needs. Only this is cut: an installation that is would have to be mended by hand. */
function download(args, quiet) {
  const hurry = ['-o', 'Acquire::Retries=0', '-o', 'Acquire::http::Timeout=5', '--download-only'];
  const { status, signal } = spawnSync('apt-get', [...args, ...hurry], { ...quiet, timeout: WANTED_DOWNLOAD_MS });
  if (signal === 'SIGINT' || status === 130) fail(['apt-get was interrupted; the same command goes on from here'], 130);
  return status === 0;
}

function ensureModules() {
  const marker = join(root, 'node_modules/.package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs) return;
  process.stdout.write('installing npm packages\n');
  if (run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']) !== 0)
    fail(['npm ci failed: see the lines above']);
}

function newest(folder) {
  let time = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) time = Math.max(time, newest(path));
    else if (/\.(ts|c|h|proto|json)$|^Makefile$/.test(entry.name)) time = Math.max(time, statSync(path).mtimeMs);
  }
  return time;
}

function ensureBuild() {
  const stamp = join(root, 'dist/.built');
  const sources = Math.max(
    ...['lib', 'services', 'agent', 'cli', 'proto', 'deploy'].map((f) => newest(join(root, f))),
    statSync(join(root, 'package.json')).mtimeMs,
  );
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= sources && existsSync(join(root, 'dist/berth-helper'))) return;
  process.stdout.write('building\n');
  mkdirSync(join(root, 'dist'), { recursive: true });
  if (run('node', ['node_modules/tsx/dist/cli.mjs', 'tools/build.ts']) !== 0)
    fail(['the build failed: see the lines above']);
  writeFileSync(stamp, '');
}

function main() {
  const [verb = '', ...rest] = process.argv.slice(2);
  const tsx = (file, args) => run('node', ['node_modules/tsx/dist/cli.mjs', file, ...args]);

  switch (verb) {
    case 'up':
      ensurePackages(RUN_NEEDS);
      ensureModules();
      ensureBuild();
      process.exit(run('bin/berth', ['up', ...rest]));
      break;
    case 'down':
      if (!existsSync(join(root, 'dist/berth.js')))
        fail(["nothing was built here, so nothing can run: 'npm run up' starts a cluster"]);
      process.exit(run('bin/berth', ['down', ...rest]));
      break;
    case 'test':
    case 'test:unit':
    case 'test:long':
      if (verb !== 'test:unit') ensurePackages([...RUN_NEEDS, ...TEST_NEEDS]);
      ensureModules();
      if (verb !== 'test:unit') ensureBuild();
      process.exit(tsx('tools/test.ts', [verb, ...rest]));
      break;
    case 'test:cgroup2':
      ensurePackages([...RUN_NEEDS, ...TEST_NEEDS, ...GUEST_NEEDS]);
      ensureModules();
      ensureBuild();
      process.exit(tsx('test/guest/main.ts', rest));
      break;
    case 'bench':
      ensurePackages(RUN_NEEDS);
      ensureModules();
      ensureBuild();
      process.exit(tsx('test/bench/main.ts', rest));
      break;
    default:
      fail([
        `tools/run.mjs: unknown verb "${verb}"; it knows up, down, test, test:unit, test:long, test:cgroup2, bench`,
      ]);
  }
}

try {
  main();
} catch (e) {
  if (!(e instanceof Refusal)) throw e;
  process.stderr.write(`${e.message}\n`);
  process.exitCode = e.code;
}
