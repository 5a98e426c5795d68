/**
 * How agents and servers allocate memory outside of V8's heap: variables of their environment. glibc keeps what is freed between
 * blocks that live on, and an arena for each of Node's threads; jemalloc gives it back (docs/adr/0034).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const LIBRARY = 'libjemalloc.so.2';
/** Debian's folder for each of Node's architectures, then what others have. */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  x64: ['/usr/lib/x86_64-linux-gnu', '/usr/lib64'],
  arm64: ['/usr/lib/aarch64-linux-gnu', '/usr/lib64'],
};
/** Freed pages go back after a second. Source: jemalloc(3), opt.narenas, opt.dirty_decay_ms, opt.muzzy_decay_ms. */
const JEMALLOC_OPTIONS = 'narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0';
/** Of an agent without jemalloc: with 200 pods an agent is 116 MB with two arenas and 133 MB with one for each thread (mallopt(3), M_ARENA_MAX). */
const GLIBC_OPTIONS = { MALLOC_ARENA_MAX: '2' };

export function agentEnvironment(): Readonly<Record<string, string>> {
  return { ...GLIBC_OPTIONS, ...allocatorEnvironment() };
}

/** Of any other process; empty where the machine has no jemalloc. */
export function allocatorEnvironment(
  isThere: (path: string) => boolean = existsSync,
  architecture: string = process.arch,
): Readonly<Record<string, string>> {
  const library = (FOLDERS[architecture] ?? []).map((f) => join(f, LIBRARY)).find(isThere);
  return library === undefined ? {} : { LD_PRELOAD: library, MALLOC_CONF: JEMALLOC_OPTIONS };
}

/** For what such a process starts, which is short-lived and would only load a library more. */
export function withoutAllocator(environment: Record<string, string | undefined>): void {
  if (environment['LD_PRELOAD']?.endsWith(`/${LIBRARY}`) !== true) return;
  delete environment['LD_PRELOAD'];
  delete environment['MALLOC_CONF'];
}
