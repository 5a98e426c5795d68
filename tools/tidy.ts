/**
 * The project's own checks, with the remedy in each message: dependency arrows between folders, file sizes, banned calls,
 * skipped tests without a machine capability, and paths that documents name but that are not there (design.md 2 and 5).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const HARD_LINES = 400;
const TEST_LINES = 600;

/** Folder -> folders it may import from (besides itself). The most specific entry that is a prefix counts. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'lib/base': [],
  'lib/cel': ['lib/base'],
  'lib/api': ['lib/base', 'lib/cel'],
  'lib/etcd': ['lib/base', 'lib/api'],
  'lib/store': ['lib/base', 'lib/api', 'lib/etcd'],
  'lib/client': ['lib/base', 'lib/api'],
  'lib/controller': ['lib/base', 'lib/api', 'lib/store', 'lib/client'],
  'lib/oci': ['lib/base'],
  'lib/http': ['lib/base', 'lib/api'],
  'lib/bus': ['lib/base'],
  'lib/kms': ['lib/base', 'lib/store'],
  'lib/pki': ['lib/base'],
  services: ['lib'],
  'services/gateway': ['lib', 'proto'],
  agent: ['lib'],
  'agent/session': ['lib', 'proto'],
  cli: ['lib', 'services', 'agent'],
  test: ['lib', 'services', 'agent', 'cli', 'proto', 'tools'],
  'test/coverage': [],
  tools: ['test/coverage'],
  proto: ['lib/base'],
};

/** Packages with one door (design.md 5.8). */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  nats: ['lib/bus'],
  pino: ['lib/base'],
  undici: ['lib/client', 'lib/oci'],
  ws: ['lib/http'],
  '@grpc/grpc-js': ['services/gateway', 'agent/session', 'agent/plugins', 'proto', 'lib/kms'],
  'dns-packet': ['agent/network'],
  'smol-toml': ['agent/images'],
  commander: ['cli'],
  ora: ['cli'],
};

const BANNED: readonly { pattern: RegExp; allowed: RegExp; remedy: string }[] = [
  {
    pattern: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/,
    allowed: /^lib\/base\/|^tools\/|^test\//,
    remedy: 'take a Clock (lib/base/clock.ts)',
  },
  {
    pattern: /(?<![.\w])(setTimeout|setInterval)\(/,
    allowed: /^lib\/base\/|^tools\/|^test\//,
    remedy: 'use clock.after or clock.sleep',
  },
  {
    pattern: /\bMath\.random\(|\brandomUUID\(/,
    allowed: /^lib\/base\/|^tools\/|^test\//,
    remedy: 'take a Random (lib/base/random.ts)',
  },
  { pattern: /JSON\.parse\(JSON\.stringify\(/, allowed: /^$/, remedy: 'use structuredClone, or change a copy' },
  {
    pattern: /from 'node:child_process'/,
    allowed: /^agent\/kernel\/|^cli\/|^tools\/|^test\//,
    remedy: 'programs run through agent/kernel ports',
  },
  { pattern: /\b(it|test|describe)\.(only|todo|fails)\b/, allowed: /^$/, remedy: 'no exclusive or promised tests' },
];

const problems: string[] = [];
const files = tracked();
for (const file of files) if (/\.(ts|c|h)$/.test(file) && existsSync(join(root, file))) check(file);
checkPaths();
checkLock();
for (const p of problems) process.stdout.write(`${p}\n`);
process.stdout.write(`tidy: ${files.length} files, ${problems.length} problems\n`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** In a checkout what git knows or would add; never what it ignores. */
function tracked(): string[] {
  const out = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  return out.split('\n').filter((f) => f !== '');
}

function check(file: string): void {
  if (/(^|\/)gen\//.test(file)) return;
  const text = readFileSync(join(root, file), 'utf8');
  const isTest = /\.test\.ts$|^test\/|conformance\.ts$/.test(file);
  const lines = text.split('\n').length - 1;
  const limit = isTest ? TEST_LINES : HARD_LINES;
  if (lines > limit) problems.push(`${file}: ${lines} lines, more than ${limit}: split it by noun`);
  if (!file.endsWith('.ts')) return;
  // What tests share (`testing/`) may reach what other tests share.
  const isForTests = isTest || /\/testing\//.test(file);
  for (const specifier of importsOf(text)) checkImport(file, specifier, isForTests);
  for (const [i, line] of text.split('\n').entries()) {
    if (/^\s*(\*|\/\/)/.test(line)) continue;
    for (const b of BANNED) {
      const exempt = b.allowed.test(file) || (isTest && b.allowed.test('test/x'));
      if (b.pattern.test(line) && !exempt && file !== 'tools/tidy.ts')
        problems.push(`${file}:${i + 1}: ${b.pattern.source.slice(0, 40)} is banned here: ${b.remedy}`);
    }
  }
}

function importsOf(text: string): string[] {
  const out: string[] = [];
  for (const m of text.matchAll(/(?:from|import\()\s*'([^']+)'/g)) if (m[1] !== undefined) out.push(m[1]);
  return out;
}

function checkImport(file: string, specifier: string, isTest: boolean): void {
  if (specifier.startsWith('node:')) return;
  const own = folderOf(file);
  if (specifier.startsWith('.')) {
    const target = normalize(join(dirname(file), specifier));
    checkArrow(file, own, target, isTest);
    if (target.startsWith('lib/') && folderOf(target) !== own && !isTest)
      problems.push(`${file}: ${specifier}: import #lib/${target.split('/')[1]} instead`);
    return;
  }
  if (specifier.startsWith('#')) {
    checkArrow(file, own, `${specifier.slice(1)}/index.ts`, isTest);
    return;
  }
  const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : (specifier.split('/')[0] ?? '');
  const doors = DOORS[name];
  if (doors !== undefined && !isTest && !doors.some((d) => file.startsWith(`${d}/`)))
    problems.push(`${file}: ${name} is imported only in ${doors.join(', ')}`);
}

function checkArrow(file: string, own: string, target: string, isTest: boolean): void {
  if (isTest && !target.startsWith('cli')) return;
  const to = folderOf(target);
  if (to === own || own === '' || to === '') return;
  if (own.startsWith('services') && to.startsWith('services') && !isTest) {
    if (own.split('/')[1] !== to.split('/')[1])
      problems.push(
        `${file}: services do not import each other (${target}): they meet in the API, proto/ or the registry protocol`,
      );
    return;
  }
  if (own.split('/')[0] === to.split('/')[0] && !own.startsWith('lib')) return;
  const allowed = ARROWS[own] ?? ARROWS[own.split('/')[0] ?? ''] ?? [];
  if (!allowed.some((a) => to === a || to.startsWith(`${a}/`)))
    problems.push(`${file}: imports ${target}; ${own} may import only ${allowed.join(', ') || 'nothing'}`);
}

/** `lib/api`, `services/gateway`, `agent/session`, `cli`, ... */
function folderOf(path: string): string {
  const [first = '', second = ''] = path.split('/');
  if (
    first === 'lib' ||
    first === 'services' ||
    (first === 'agent' && second === 'session') ||
    path.startsWith('test/coverage/')
  )
    return `${first}/${second}`;
  return ['agent', 'cli', 'test', 'tools', 'proto'].includes(first) ? first : '';
}

/** Paths in backquotes in Markdown must exist. */
function checkPaths(): void {
  for (const file of files.filter((f) => f.endsWith('.md') && !f.startsWith('docs/plan/'))) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const m of text.matchAll(/`((?:lib|services|agent|cli|tools|test|proto|deploy|docs|bin)\/[\w./-]+)`/g)) {
      const path = m[1] ?? '';
      if (!path.includes('…') && !existsSync(join(root, path))) problems.push(`${file}: \`${path}\` is not there`);
    }
  }
}

/** `npm ci` refuses a lock file that lacks an optional package of another platform, which `npm i` here forgets to write. */
function checkLock(): void {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  for (const [name, p] of Object.entries(lock.packages)) {
    for (const optional of Object.keys(p.optionalDependencies ?? {})) {
      const found = [`${name}/node_modules/${optional}`, `node_modules/${optional}`].some((k) => k in lock.packages);
      if (!found)
        problems.push(
          `package-lock.json: ${optional}, optional for ${name}, has no entry: npm ci would fail; add one as its siblings have`,
        );
    }
  }
}
