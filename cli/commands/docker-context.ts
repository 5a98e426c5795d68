/**
 * `berth docker-context`: a context of the docker CLI for this instance's Docker socket, written as docker itself writes it:
 * `~/.docker/contexts/meta/<sha256 of the name>/meta.json`.
 * Source: github.com/docker/cli cli/context/store (metadatastore.go), cli/context/docker.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { StatusError, writeFileAtomic } from '#lib/base';
import { wrongUse } from '../client/arguments.ts';
import { DEFAULT_INSTANCE, runFolder } from '../layout.ts';

export interface DockerContextOptions {
  readonly instance?: string;
  readonly name?: string;
  readonly use?: boolean;
  readonly remove?: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** As docker allows them. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;

/** Returns what is to be printed. */
export async function dockerContextCommand(o: DockerContextOptions, env: Env = process.env): Promise<string> {
  const instance = o.instance ?? DEFAULT_INSTANCE;
  const name = o.name ?? instance;
  if (!NAME.test(name) || name === 'default') throw wrongUse(`--name ${name}: docker allows no such context name`);
  const config = env['DOCKER_CONFIG'] ?? join(env['HOME'] ?? homedir(), '.docker');
  const folder = join(config, 'contexts', 'meta', createHash('sha256').update(name).digest('hex'));
  if (o.remove === true) {
    await rm(folder, { recursive: true, force: true });
    if ((await currentContext(config)) === name) await useContext(config, undefined);
    return `Removed the docker context "${name}".\n`;
  }
  const socket = `unix://${join(runFolder(instance), 'docker.sock')}`;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await writeFileAtomic(join(folder, 'meta.json'), JSON.stringify(metaOf(name, instance, socket)));
  if (o.use === true) await useContext(config, name);
  const next =
    o.use === true
      ? 'It is the current one.'
      : `Use it with 'docker --context ${name} ps' or 'docker context use ${name}'.`;
  const isThere = existsSync(socket.slice('unix://'.length));
  const warning = isThere
    ? ''
    : `Nothing answers there yet: ${socket} is made by a node whose Docker API runs, and this one has none now.\n`;
  return `The docker context "${name}" is ${socket}. ${next}\n${warning}`;
}

export function metaOf(name: string, instance: string, socket: string): object {
  return {
    Name: name,
    Metadata: { Description: `Berth, instance ${instance}` },
    Endpoints: { docker: { Host: socket, SkipTLSVerify: false } },
  };
}

async function readConfig(folder: string): Promise<Record<string, unknown>> {
  const path = join(folder, 'config.json');
  const text = await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return '{}';
    throw e;
  });
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (e) {
    throw new StatusError('Invalid', `${path} is not JSON: mend it first`, { cause: e });
  }
}

async function currentContext(folder: string): Promise<unknown> {
  return (await readConfig(folder))['currentContext'];
}

/** All else in docker's config.json stays; undefined goes back to the default. */
async function useContext(folder: string, name: string | undefined): Promise<void> {
  const { currentContext: _, ...rest } = await readConfig(folder);
  const next = name === undefined ? rest : { ...rest, currentContext: name };
  await writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(next, null, '\t')}\n`, { mode: 0o600 });
}
