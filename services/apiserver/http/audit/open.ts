/** The audit of a server: from what it is given to what its front asks. */
import type { Ctx } from '#lib/base';
import type { ApiServerDeps } from '../../server.ts';
import { Auditor } from './auditor.ts';
import { DEFAULT_POLICY } from './policy.ts';
import { RotatedFile } from './rotated-file.ts';
import { AuditTrail } from './trail.ts';

const BYTES_MAX = 100 * 1024 * 1024;
const FILES_MAX = 10;
const AGE_MS_MAX = 30 * 24 * 3_600_000;

export interface Audit {
  readonly auditor: Auditor;
  /** Writes what is buffered. To be called when no request is left. */
  close(): Promise<void>;
}

export function openAudit(deps: Pick<ApiServerDeps, 'audit' | 'clock'>, c: Ctx): Audit | undefined {
  const { audit, clock } = deps;
  if (audit === undefined) return undefined;
  const file =
    audit.file === undefined
      ? undefined
      : new RotatedFile({
          path: audit.file.path,
          bytesMax: audit.file.bytesMax ?? BYTES_MAX,
          filesMax: audit.file.filesMax ?? FILES_MAX,
          ageMsMax: audit.file.ageMsMax ?? AGE_MS_MAX,
          clock,
        });
  const trail = new AuditTrail({ file, bus: audit.bus });
  // Its own life, longer than that of the server's scope: the last requests are recorded too.
  const stop = new AbortController();
  const written = trail.run({ ...c, signal: stop.signal });
  return {
    auditor: new Auditor({ policy: audit.policy ?? DEFAULT_POLICY, trail, clock }),
    close: async () => {
      stop.abort();
      await written;
    },
  };
}
