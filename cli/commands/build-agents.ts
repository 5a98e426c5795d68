/** `berth build --ssh`: agents that are handed to RUN --mount=type=ssh. */
import { readFile, stat } from 'node:fs/promises';
import { messageOf, StatusError } from '#lib/base';
import { SocketAgent, type SshAgent } from '../../agent/build/ssh/agent.ts';
import { KeyAgent } from '../../agent/build/ssh/key-agent.ts';
import { parsePrivateKey, type SshKey } from '../../agent/build/ssh/keys.ts';

const KEY_BYTES_MAX = 64 << 10;

/** `default` or `ID`: the environment's agent; `ID=SOCKET`; `ID=KEY[,KEY…]`. By id. Throws Invalid. */
export async function readAgents(
  list: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Map<string, SshAgent>> {
  const out = new Map<string, SshAgent>();
  for (const item of list) {
    const refused = (why: string): StatusError => new StatusError('Invalid', `--ssh ${item}: ${why}`);
    const at = item.indexOf('=');
    const id = at < 0 ? item : item.slice(0, at);
    if (id === '') throw refused('an id is missing, as in default');
    if (out.has(id)) throw refused(`${id} is given twice`);
    const paths = at < 0 ? [environment['SSH_AUTH_SOCK'] ?? ''] : item.slice(at + 1).split(',');
    if (paths.includes(''))
      throw refused(
        at < 0 ? 'the environment has no SSH_AUTH_SOCK (sudo takes it away: name the socket)' : 'a path is missing',
      );
    out.set(id, await agentOf(paths, refused));
  }
  return out;
}

async function agentOf(paths: readonly string[], refused: (why: string) => StatusError): Promise<SshAgent> {
  const keys: SshKey[] = [];
  for (const path of paths) {
    try {
      const info = await stat(path);
      if (info.isSocket()) {
        if (paths.length > 1) throw new StatusError('Invalid', 'a socket stands alone');
        return new SocketAgent(path);
      }
      if (!info.isFile() || info.size > KEY_BYTES_MAX)
        throw new StatusError('Invalid', 'it is neither a socket nor a private key');
      keys.push(parsePrivateKey(await readFile(path, 'utf8')));
    } catch (e) {
      throw refused(`${path}: ${messageOf(e)}`);
    }
  }
  return new KeyAgent(keys);
}
