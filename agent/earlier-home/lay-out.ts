/**
 * What agents of earlier commits left on a node, for the tests that today's agent can go on from there. `COMMIT.ndjson`: a line a
 * file, with its text, of a node's home whose agent was killed while pods ran; or, for the socket of a container's supervisor,
 * the bytes with which that answered the frame `S` (docs/supervisor.md); or the type of what was mounted there. Managed fields of
 * API objects are left out. It is never brought up to date: newer formats are further files. Only the boot's id is made this
 * machine's, as if it had not been restarted since.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { readBootId } from '../runtime/bundle.ts';
import { readFrames } from '../runtime/streams.ts';

type Line = { readonly path: string } & (
  | { readonly text: string }
  | { readonly answer: string }
  | { readonly mount: string }
);

export interface EarlierHome extends AsyncDisposable {
  readonly folder: string;
  /** What was mounted: its type, by path below the home. */
  readonly mounts: ReadonlyMap<string, string>;
  /** Ids of containers whose supervisors have been asked, one entry a question. */
  readonly asked: readonly string[];
}

const BOOT_ID = 'images/boot-id';
const CONTAINERS = 'containers';

/** The commits whose homes are here, sorted. */
export async function earlierCommits(): Promise<string[]> {
  const files = (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.ndjson'));
  return files.map((name) => name.slice(0, -'.ndjson'.length)).sort();
}

/** `folder` must be short: a socket's path has 107 bytes at most, of which its container takes 80. */
export async function layOut(commit: string, folder: string): Promise<EarlierHome> {
  const text = await readFile(join(import.meta.dirname, `${commit}.ndjson`), 'utf8');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((l) => JSON.parse(l) as Line);
  const boot = lines.find((l) => l.path === BOOT_ID);
  if (boot === undefined || !('text' in boot)) throw new Error(`${commit}: no ${BOOT_ID}`);
  const bootId = await readBootId();
  const today = (from: string): string => from.replaceAll(boot.text.trim(), bootId);
  const asked: string[] = [];
  const mounts = new Map<string, string>();
  const servers: Server[] = [];
  for (const line of lines) {
    const path = join(folder, line.path);
    if ('mount' in line) {
      mounts.set(line.path, line.mount);
      continue;
    }
    await mkdir(dirname(path), { recursive: true });
    if ('text' in line) await writeFile(path, today(line.text), { mode: 0o600 });
    else {
      const answer = Buffer.from(today(Buffer.from(line.answer, 'base64').toString('latin1')), 'latin1');
      const id = line.path.split('/')[1] ?? '';
      servers.push(await supervise(path, answer, () => asked.push(id)));
    }
  }
  for (const name of [CONTAINERS, 'session/desired', 'images/images'])
    await mkdir(join(folder, name), { recursive: true });
  return {
    folder,
    mounts,
    asked,
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function supervise(path: string, answer: Buffer, onAsked: () => void): Promise<Server> {
  const server = createServer((socket) => {
    const onFrame = (type: string): void => {
      if (type !== 'S') return;
      onAsked();
      socket.write(answer);
    };
    readFrames(socket, onFrame, () => undefined);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}
