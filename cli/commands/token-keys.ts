/**
 * `berth secrets rotate-token-keys`, on a host of the control plane: a new key for service account tokens. A server makes it; all
 * of them learn of it within a minute, and it signs ten minutes later, when relying parties know it too.
 */
import { type Ctx, realRandom, StatusError, timeText } from '#lib/base';
import type { Store } from '#lib/store';
import { requestTokenKeyRotation } from '../../services/apiserver/main.ts';
import { type SecretsOptions, withStore } from './secrets.ts';

export async function rotateTokenKeysCommand(o: SecretsOptions): Promise<number> {
  const seconds = Number(o.timeout ?? 60);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new StatusError('Invalid', `--timeout ${o.timeout ?? ''}: a number of seconds`);
  return await withStore(o, (store, _, c) =>
    rotateTokenKeys(store, { limitMs: seconds * 1_000, out: process.stdout }, c),
  );
}

export async function rotateTokenKeys(
  store: Store,
  o: { readonly limitMs: number; readonly out: { write(text: string): unknown } },
  c: Ctx,
): Promise<number> {
  const { limitMs, out } = o;
  const done = await requestTokenKeyRotation(store, { id: realRandom.uuid(), limitMs }, c);
  out.write(
    `New key ${done.kid}: published now, it signs from ${timeText(done.signsFromMs)} on.\n` +
      `Key ${done.previousKid} verifies what it signed until ${timeText(done.previousUntilMs)}, when the last such token has ended.\n`,
  );
  return 0;
}
