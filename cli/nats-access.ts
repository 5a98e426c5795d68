/**
 * How NATS is reached: its address stands in the layout, its credentials in a file of their own (0600), as they stand in a URL
 * before the `@`: `user:password` or a token. For a managed NATS they are made once, at random, and handed to its process by
 * its configuration file; for another one they come with --nats. No command line that Berth starts shows them.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Random, writeFileAtomic } from '#lib/base';
import type { NatsCredentials } from '#lib/bus';
import { type ClusterLayout, pkiFolder } from './layout.ts';

const USER = 'berth';
const PASSWORD_BYTES = 24;

/** `nats://user:password@host:port` -> the URL without credentials, and those. */
export function splitNatsUrl(url: string): { readonly url: string; readonly userInfo?: string } {
  const match = /^(\w+:\/\/)(.*)@([^@]*)$/.exec(url);
  return match === null ? { url } : { url: `${match[1] ?? ''}${match[3] ?? ''}`, userInfo: match[2] ?? '' };
}

/** `given`: what --nats says, if it was said; without it the credentials of before stay. */
export async function ensureNatsAccess(
  layout: ClusterLayout,
  given: string | undefined,
  random: Random,
): Promise<void> {
  await mkdir(pkiFolder(layout), { recursive: true, mode: 0o700 });
  if (layout.natsUrl === undefined) {
    const known = await readUserInfo(layout);
    const userInfo = known ?? `${USER}:${random.hex(PASSWORD_BYTES)}`;
    if (known === undefined) await writeUserInfo(layout, userInfo);
    await writeFileAtomic(natsConfigPath(layout), configText(layout, credentialsOf(userInfo)), { mode: 0o600 });
  } else if (given !== undefined) {
    const { userInfo } = splitNatsUrl(given);
    if (userInfo === undefined) await rm(userInfoPath(layout), { force: true });
    else await writeUserInfo(layout, userInfo);
  }
}

/** Of the managed nats-server. */
export function natsConfigPath(layout: Pick<ClusterLayout, 'home'>): string {
  return join(pkiFolder(layout), 'nats.conf');
}

export function natsAddress(layout: ClusterLayout): string {
  return layout.natsUrl ?? `nats://127.0.0.1:${layout.natsPort}`;
}

export async function natsAccess(
  layout: ClusterLayout,
): Promise<{ readonly servers: readonly string[]; readonly credentials?: NatsCredentials }> {
  const userInfo = await readUserInfo(layout);
  const servers = [natsAddress(layout)];
  return userInfo === undefined ? { servers } : { servers, credentials: credentialsOf(userInfo) };
}

function credentialsOf(userInfo: string): NatsCredentials {
  const [user = '', ...password] = userInfo.split(':');
  if (password.length === 0) return { token: decodeURIComponent(user) };
  return { user: decodeURIComponent(user), password: decodeURIComponent(password.join(':')) };
}

/** JSON strings are strings of nats-server's configuration, too. */
function configText(layout: ClusterLayout, c: NatsCredentials): string {
  const authorization =
    'token' in c
      ? `token: ${JSON.stringify(c.token)}`
      : `user: ${JSON.stringify(c.user)}, password: ${JSON.stringify(c.password)}`;
  return `# Made by 'berth up'.
host: "127.0.0.1"
port: ${layout.natsPort}
jetstream { store_dir: ${JSON.stringify(join(layout.home, 'nats'))} }
authorization { ${authorization} }
`;
}

async function readUserInfo(layout: Pick<ClusterLayout, 'home'>): Promise<string | undefined> {
  const text = await readFile(userInfoPath(layout), 'utf8').catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return undefined;
    throw e;
  });
  return text?.trim();
}

async function writeUserInfo(layout: Pick<ClusterLayout, 'home'>, userInfo: string): Promise<void> {
  await writeFileAtomic(userInfoPath(layout), `${userInfo}\n`, { mode: 0o600 });
}

function userInfoPath(layout: Pick<ClusterLayout, 'home'>): string {
  return join(pkiFolder(layout), 'nats.credentials');
}
