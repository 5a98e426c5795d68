/** Proof that a started program is confined as its specification says: a runtime built without seccomp may not say so. */
import { readFileSync } from 'node:fs';
import { StatusError } from '#lib/base';
import type { OciSpec } from '../oci-spec.ts';
import { wantsFilter } from './seccomp.ts';

/** Throws Internal when the program of `pid` lacks its filter. One that has ended needs none. Source: proc(5), status. */
export function checkConfined(spec: OciSpec, pid: number, runtime: string): void {
  if (!wantsFilter(spec)) return;
  const status = statusOf(pid);
  if (/^Seccomp:\s*0$/m.test(status) && !/^State:\s*[ZX]/m.test(status))
    throw new StatusError('Internal', `the seccomp profile is not in force: ${runtime} does not apply it`);
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return ''; // it has ended
  }
}
