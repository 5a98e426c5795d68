/**
 * Writes agent/runtime/isolation/gen/syscalls.ts: the numbers of the system calls by architecture, as the installed libseccomp
 * knows them, and those that came to the kernel later (from 403 on a call has one number on all architectures).
 * Source of the latter: include/uapi/asm-generic/unistd.h of the kernel.
 *
 *   npx tsx tools/generate-syscalls.ts
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NEWER = [
  ...'statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat'.split(' '),
  ...'listxattrat removexattrat open_tree_attr file_getattr file_setattr'.split(' '),
];
const NEWER_FROM = 457;

const program = `
#include <stdint.h>
#include <stdio.h>
char *seccomp_syscall_resolve_num_arch(uint32_t arch, int number);
static const struct { const char *name; uint32_t token; } machines[] = {
  {"amd64", 0xC000003E}, {"i386", 0x40000003}, {"arm64", 0xC00000B7}, {"arm", 0x40000028}};
int main(void) {
  for (int m = 0; m < 4; m++)
    for (int n = 0; n < 0xf0010; n = n == 1023 ? 0xf0000 : n + 1) {
      char *name = seccomp_syscall_resolve_num_arch(machines[m].token, n);
      if (name) printf("%s %s %d\\n", machines[m].name, name, n);
    }
}`;

const folder = mkdtempSync(join(tmpdir(), 'berth-syscalls-'));
try {
  writeFileSync(join(folder, 'list.c'), program);
  execFileSync('gcc', ['-o', join(folder, 'list'), join(folder, 'list.c'), '-l:libseccomp.so.2']);
  const machines = new Map<string, Map<string, number>>();
  for (const line of execFileSync(join(folder, 'list'), { encoding: 'utf8' }).split('\n')) {
    const [machine = '', name = '', number] = line.split(' ');
    if (number === undefined) continue;
    if (!machines.has(machine)) machines.set(machine, new Map());
    machines.get(machine)?.set(name, Number(number));
  }
  const rows = [...machines].map(([machine, calls]) => {
    for (const [i, name] of NEWER.entries()) calls.set(name, NEWER_FROM + i);
    const all = [...calls].sort((a, b) => a[1] - b[1]);
    return `  ${machine}: {\n${all.map(([name, number]) => `    ${name}: ${number},\n`).join('')}  },\n`;
  });
  const head = '/** Made by tools/generate-syscalls.ts: numbers of system calls by architecture. */\n';
  const type = 'export const SYSCALLS = {\n';
  const tail = '} as const satisfies Readonly<Record<string, Readonly<Record<string, number>>>>;\n';
  const path = fileURLToPath(new URL('../agent/runtime/isolation/gen/syscalls.ts', import.meta.url));
  writeFileSync(path, head + type + rows.join('') + tail);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
