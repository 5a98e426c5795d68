/** `berth registry collect-garbage`, on the registry's host: retention and garbage collection now (docs/registry.md). */
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { StatusError } from '#lib/base';
import { parseDuration } from '../client/arguments.ts';
import { findCluster } from '../instance.ts';
import { registrySockets } from '../layout.ts';

export interface CollectOptions {
  readonly instance?: string;
  readonly home?: string;
  readonly grace?: string;
}

interface Done {
  readonly links: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly keptRepositories: readonly string[];
  readonly retention: { readonly tags: number; readonly manifests: number };
}

export async function collectGarbageCommand(o: CollectOptions): Promise<number> {
  const { home, layout } = await findCluster(o);
  if (layout === undefined) throw new StatusError('NotFound', `no cluster below ${home}: 'berth up' makes one`);
  const grace = o.grace === undefined ? '' : `?graceSeconds=${Math.ceil(parseDuration('--grace', o.grace) / 1000)}`;
  const done = await post(join(registrySockets(layout), 'admin.sock'), `/collect${grace}`);
  process.stdout.write(told(done));
  return 0;
}

export function told(d: Done): string {
  const kept = d.keptRepositories.map((r) => `Nothing of ${r} was removed: a manifest there cannot be read.\n`);
  return (
    `Removed ${d.retention.tags} tags and ${d.retention.manifests} manifests by the retention rules,\n` +
    `${d.links} blobs from repositories, ${d.blobs} blobs (${d.bytes} bytes) from disk.\n${kept.join('')}`
  );
}

function post(socketPath: string, path: string): Promise<Done> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method: 'POST' }, (answer) => {
      text(answer).then((body) => {
        if (answer.statusCode === 200) resolve(JSON.parse(body));
        else reject(new StatusError('Internal', `the registry answered ${answer.statusCode ?? 0}: ${body}`));
      }, reject);
    });
    sent.on('error', (cause) =>
      reject(
        new StatusError('Unavailable', `the registry does not answer (${cause.message}): is it running?`, { cause }),
      ),
    );
    sent.end();
  });
}
