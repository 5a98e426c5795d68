/** The node's own certificate and key on its disk. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError, writeFileAtomic } from '#lib/base';
import type { SessionCredentials } from './session/session.ts';

/**
 * PEM files below `<home>/pki`, written by `berth up` or `berth join`, or a later renewal, which is one file so that a crash
 * never leaves a certificate beside another one's key. Whichever lasts longer is taken.
 */
export async function credentials(home: string): Promise<SessionCredentials> {
  const files = ['ca.crt', 'node.crt', 'node.key'].map((f) =>
    readFile(join(home, 'pki', f), 'utf8').catch(() => undefined),
  );
  const [ca, cert, key] = await Promise.all(files);
  const given = ca === undefined || cert === undefined || key === undefined ? undefined : { ca, cert, key };
  const renewed = await readRenewed(home);
  const best = [given, renewed].filter((x) => x !== undefined).sort((a, b) => validTo(b) - validTo(a))[0];
  if (best === undefined) throw new StatusError('NotFound', `no node certificate below ${home}/pki: run berth join`);
  return best;
}

async function readRenewed(home: string): Promise<SessionCredentials | undefined> {
  const text = await readFile(join(home, 'pki/renewed.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as SessionCredentials);
}

function validTo(c: SessionCredentials): number {
  return Date.parse(new X509Certificate(c.cert).validTo);
}

export async function saveCredentials(home: string, made: SessionCredentials): Promise<void> {
  await writeFileAtomic(join(home, 'pki/renewed.json'), JSON.stringify(made), { mode: 0o600 });
}
