/**
 * `npm run test:cgroup2 [-- FILE...]`: the suites of resources and isolation on pure cgroup v2 and Debian's own kernel, in a
 * qemu guest that sees this machine's files (read-only; what is written stays in its memory). Needs root; fast with KVM.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpio } from './cpio.ts';
import { debianKernel, type GuestKernel } from './kernel.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const MEMORY_MB = 6144;
/** Without a line: longer than any test may take there. */
const SILENT_MINUTES_MAX = 30;
/** Until the first program of the guest says so. */
const START_MS = 30_000;
/** In the order in which they are loaded. */
const BOOT_MODULES = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_pci_modern_dev',
  'drivers/virtio/virtio_pci_legacy_dev',
  'drivers/virtio/virtio_pci',
  'fs/netfs/netfs',
  'fs/fscache/fscache',
  'net/9p/9pnet',
  'net/9p/9pnet_virtio',
  'fs/9p/9p',
  'fs/overlayfs/overlay',
];
/** no_timer_check: on a busy machine an emulated clock is late, which the kernel takes for broken wiring, and stops. */
const KERNEL_LINE = 'console=ttyS0 quiet panic=-1 no_timer_check';
const SUITES = [
  'test/integration/cgroups.test.ts',
  'test/integration/limits.test.ts',
  'test/integration/seccomp.test.ts',
  'test/integration/hostile-container.test.ts',
  'test/integration/pod-processes.test.ts',
  'test/integration/runtime.test.ts',
  'test/integration/volumes.test.ts',
  'test/integration/kernel.test.ts',
  'test/integration/network.test.ts',
  'test/integration/engine-containers.test.ts',
  'test/integration/build.test.ts',
];

const status = await run(process.argv.slice(2));
process.exit(status);

async function run(files: readonly string[]): Promise<number> {
  if (process.getuid?.() !== 0) return told('test:cgroup2 needs root, as the suites in it do');
  const kernel = debianKernel();
  const folder = mkdtempSync(join(tmpdir(), 'berth-guest-'));
  // Also when a signal ends this program.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
  const suites = files.length === 0 ? SUITES : files;
  writeFileSync(join(folder, 'inside.sh'), readFileSync(join(HERE, 'inside.sh')));
  writeFileSync(join(folder, 'command'), commandOf(suites));
  writeFileSync(join(folder, 'initramfs'), initramfs(kernel));
  process.stdout.write(`guest: Linux ${kernel.version}, cgroup v2, ${suites.length} suites\n`);
  await boot(kernel, folder);
  const left = join(folder, 'status');
  if (!existsSync(left)) return told('the guest ended before its tests did: see the lines above');
  return Number(readFileSync(left, 'utf8').trim());
}

function told(why: string): number {
  process.stderr.write(`${why}\n`);
  return 1;
}

/** One suite at a time, and one after the other: two processors, and what they start is not small. */
function commandOf(suites: readonly string[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
  const projects = ['integration', 'e2e', 'faults'].map((p) => `--project ${p}`).join(' ');
  const vitest = `node node_modules/vitest/vitest.mjs run ${projects} --no-file-parallelism --no-color --reporter=verbose`;
  return `cd ${quote(PROJECT)} && export BERTH_TEST_SLOWNESS=$(cat /guest/slowness) && exec ${vitest} ${suites.map(quote).join(' ')}\n`;
}

function initramfs(kernel: GuestKernel): Buffer {
  const modules = BOOT_MODULES.map((m) => `${m}.ko`);
  const module = (m: string): Buffer => readFileSync(join(kernel.modules, kernel.version, 'kernel', m));
  return cpio([
    { path: 'init', mode: 0o755, content: readFileSync(join(HERE, 'init.sh')) },
    { path: 'bin/busybox', mode: 0o755, content: readFileSync('/bin/busybox') },
    { path: 'modules.order', mode: 0o644, content: Buffer.from(modules.map((m) => `boot/${m}\n`).join('')) },
    ...modules.map((m) => ({ path: `boot/${m}`, mode: 0o644, content: module(m) })),
  ]);
}

/**
 * With KVM where that starts Debian's kernel. There are hosts whose /dev/kvm is there and runs only kernels made for it (PVM):
 * then qemu's own processor is used, some fifteen times slower.
 */
async function boot(kernel: GuestKernel, folder: string): Promise<void> {
  if (existsSync('/dev/kvm')) {
    if (await runGuest(kernel, folder, 'kvm')) return;
    process.stdout.write('guest: KVM starts no kernel here; going on without it\n');
  }
  await runGuest(kernel, folder, 'tcg');
}

/** Whether it started; resolves when it has switched itself off. */
async function runGuest(kernel: GuestKernel, folder: string, accelerator: 'kvm' | 'tcg'): Promise<boolean> {
  writeFileSync(join(folder, 'slowness'), accelerator === 'kvm' ? '1' : '10');
  const share = (tag: string, path: string, mode: string): string[] => [
    '-virtfs',
    `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${mode}`,
  ];
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35', '-smp', '2', '-m', String(MEMORY_MB)],
      ...(accelerator === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg,thread=multi', '-cpu', 'max']),
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-kernel', kernel.image, '-initrd', join(folder, 'initramfs'), '-append', KERNEL_LINE],
      ...share('host', '/', ',readonly=on'),
      ...share('modules', kernel.modules, ',readonly=on'),
      ...share('guest', folder, ''),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const kill = (): void => void qemu.kill('SIGKILL');
  process.once('exit', kill);
  let hasStarted = false;
  let said = '';
  const start = accelerator === 'kvm' ? setTimeout(kill, START_MS) : undefined;
  let silentMinutes = 0;
  // Counted, since a guest that is stopped (SIGSTOP to the group) and goes on an hour later was not silent.
  const silence = setInterval(() => {
    if (++silentMinutes > SILENT_MINUTES_MAX) kill();
  }, 60_000);
  qemu.stdout.on('data', (text: Buffer) => {
    silentMinutes = 0;
    // It may come in pieces.
    if (!hasStarted) said += text.toString('latin1');
    if (!hasStarted && said.includes('guest: started')) {
      hasStarted = true;
      clearTimeout(start);
    }
    process.stdout.write(text);
  });
  await new Promise<void>((resolve, reject) => {
    qemu.once('error', reject);
    qemu.once('close', () => resolve());
  });
  clearTimeout(start);
  clearInterval(silence);
  process.off('exit', kill);
  return hasStarted;
}
