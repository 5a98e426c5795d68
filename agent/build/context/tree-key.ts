/** What a folder of a source holds, as one digest: names, modes, owners and contents; no times. */
import { type Ctx, type Digest, sha256 } from '#lib/base';
import { joined, type SourceTree } from './tree.ts';

export async function treeKey(tree: SourceTree, path: string, c: Ctx): Promise<Digest> {
  c.signal.throwIfAborted();
  const entry = await tree.stat(path, c);
  if (entry === undefined) return sha256('');
  const own = [entry.type, entry.mode, entry.uid, entry.gid, entry.linkPath, entry.deviceMajor, entry.deviceMinor];
  const xattrs = [...entry.xattrs].map(([k, v]) => [k, v.toString('base64')]).sort();
  if (entry.type === 'file') return sha256(JSON.stringify([own, xattrs, await tree.contentOf(path, c)]));
  if (entry.type !== 'folder') return sha256(JSON.stringify([own, xattrs]));
  const children: [string, Digest][] = [];
  for (const name of await tree.list(path, c)) children.push([name, await treeKey(tree, joined(path, name), c)]);
  return sha256(JSON.stringify([own, xattrs, children]));
}
