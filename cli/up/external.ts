/** An etcd of somebody else's is asked before anything is started: a wrong address or certificate is told at once. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { StatusError } from '#lib/base';
import type { EtcdTls } from '#lib/store';
import { etcdAccess } from '../etcd-access.ts';
import type { ClusterLayout } from '../layout.ts';

const LIMIT_MS = 3_000;

/** Throws Invalid with each endpoint's answer when none is healthy. Nothing to do for a managed etcd. */
export async function checkEtcd(layout: ClusterLayout): Promise<void> {
  if (layout.etcdEndpoints === undefined) return;
  const { endpoints, tls } = await etcdAccess(layout);
  const answers = await Promise.all(
    endpoints.map((e) => healthProblem(e, tls ?? {}).then((problem) => ({ endpoint: e, problem }))),
  );
  if (answers.some((a) => a.problem === undefined)) return;
  const lines = answers.map((a) => `  ${a.endpoint}: ${a.problem}`);
  throw new StatusError(
    'Invalid',
    `no etcd answers; check --etcd-endpoints and its certificates, or leave them out for a managed one:\n${lines.join('\n')}`,
  );
}

/** etcd answers `GET /health` on its client address (etcd documentation, op-guide/monitoring). */
function healthProblem(endpoint: string, tls: Partial<EtcdTls>): Promise<string | undefined> {
  return new Promise((resolve) => {
    const url = new URL('/health', endpoint);
    const call = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = call(url, { ...tls, timeout: LIMIT_MS, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (d: Buffer) => {
        text += d.toString();
      });
      answer.on('end', () =>
        resolve(
          /"health"\s*:\s*"?true/.test(text) ? undefined : `answers ${answer.statusCode ?? 0}: ${text.slice(0, 200)}`,
        ),
      );
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${LIMIT_MS / 1000} s`)));
    request.on('error', (e) => resolve(e.message));
    request.end();
  });
}
