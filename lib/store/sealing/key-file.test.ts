import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeBox, isMemberProof, memberProof, newBoxPair, openBox } from './key-box.ts';
import { newLocalKey, readKeyFile, writeKeyFile } from './key-file.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-keys-'));
  path = join(folder, 'pki/secrets.keys');
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

test('key file: only its owner reads it, and what is written is read', async () => {
  const keys = [newLocalKey(1_700_000_000_000), newLocalKey(1_700_000_001_000)];
  expect(await readKeyFile(path)).toBeUndefined();
  await writeKeyFile(path, keys);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readKeyFile(path)).toEqual(keys);
});

test('key file: one that others may read is refused with the remedy', async () => {
  await writeKeyFile(path, [newLocalKey(0)]);
  await chmod(path, 0o640);
  await expect(readKeyFile(path)).rejects.toThrow(/mode 0640.*chmod 600/);
});

test('key file: a damaged one is refused, and the message holds none of it', async () => {
  await writeKeyFile(path, [newLocalKey(0)]);
  const good = await readFile(path, 'utf8');
  const secret = /"secret": "([^"]+)"/.exec(good)?.[1] ?? '';
  const [half, ...others] = [
    good.slice(0, good.length - 20),
    '{}',
    '[]',
    'null',
    '{"version":1,"keys":[]}',
    '{"version":1,"keys":[{}]}',
    good.replace(secret, secret.slice(4)),
    good.replace(/"id": "[^"]+"/, '"id": "../x"'),
    '{"version":2,"keys":[]}',
  ];
  for (const text of [half ?? '', ...others]) {
    await writeFile(path, text, { mode: 0o600 });
    const e = await readKeyFile(path).then(
      () => undefined,
      (failure: Error) => failure,
    );
    expect(e?.message).toContain(path);
    expect(`${e?.message} ${String(e?.cause)}`).not.toContain(secret.slice(4, 20));
  }
});

test('key box: only the member it was made for opens it, only with the key that both share, only as the key it is', () => {
  const [shared, other, key] = [newLocalKey(1), newLocalKey(2), newLocalKey(3)];
  const [own, stranger] = [newBoxPair(), newBoxPair()];
  const box = closeBox(key, { memberId: 'a', memberKey: own.publicKey, shared });
  const opener = { id: key.id, memberId: 'a', own, shared };
  expect(openBox(box, opener)).toEqual(key);
  expect(openBox(box, { ...opener, own: stranger })).toBeUndefined();
  expect(openBox(box, { ...opener, shared: other })).toBeUndefined();
  expect(openBox(box, { ...opener, memberId: 'b' })).toBeUndefined();
  expect(openBox(box, { ...opener, id: other.id })).toBeUndefined();
  expect(openBox({ ...box, publicKey: 'no key' }, opener)).toBeUndefined();
  expect(JSON.stringify(box)).not.toContain(key.secret.toString('base64'));
});

test('key box: a member proves that it holds a shared key, for its own public key only', () => {
  const shared = newLocalKey(1);
  const [own, stranger] = [newBoxPair(), newBoxPair()];
  const proof = memberProof(shared, 'a', own.publicKey);
  expect(isMemberProof(shared, { memberId: 'a', publicKey: own.publicKey, proof })).toBe(true);
  expect(isMemberProof(shared, { memberId: 'a', publicKey: stranger.publicKey, proof })).toBe(false);
  expect(isMemberProof(shared, { memberId: 'b', publicKey: own.publicKey, proof })).toBe(false);
  expect(isMemberProof(newLocalKey(1), { memberId: 'a', publicKey: own.publicKey, proof })).toBe(false);
  expect(isMemberProof(shared, { memberId: 'a', publicKey: own.publicKey, proof: '' })).toBe(false);
});
