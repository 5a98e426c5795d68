/**
 * The settings of this host's server: `$BERTH_HOME/server.yaml` (config.berth.dev/v1 ServerConfiguration), without which all have
 * their defaults. Each server of a cluster reads its own. A change is taken up while the server runs, as far as it can be.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import {
  type ApiServer,
  type ApiServerConfig,
  changedAtStartOnly,
  DEFAULT_CONFIGURATION,
  parseServerConfiguration,
  type ServerConfiguration,
} from '../services/apiserver/main.ts';
import { readSettings } from '../services/registry/read-settings.ts';
import type { ClusterLayout } from './layout.ts';

type Place = Pick<ClusterLayout, 'home' | 'clusterDomain'>;

const LOOK_MS = 2_000;

export function serverConfigurationPath({ home }: Pick<ClusterLayout, 'home'>): string {
  return join(home, 'server.yaml');
}

/** Of the cluster's own tokens; no other issuer may have its name. */
export function tokenIssuer({ clusterDomain }: Pick<ClusterLayout, 'clusterDomain'>): string {
  return `https://kubernetes.default.svc.${clusterDomain}`;
}

/** As the file was when it was read. */
export interface ReadConfiguration {
  readonly settings: ServerConfiguration;
  /** undefined: no file. */
  readonly text: string | undefined;
}

/** Throws BadRequest that names the file and every mistake in it: a server must not start with other settings than it was told. */
export async function readServerConfiguration(layout: Place): Promise<ReadConfiguration> {
  const text = await readText(layout);
  return { settings: await parsed(layout, text), text };
}

export function apiSettings(
  o: ServerConfiguration,
): Pick<ApiServerConfig, 'jwt' | 'defaultTolerationSeconds' | 'requestSeats' | 'shutdownDelayMs'> {
  const { jwt, defaultTolerationSeconds, maxRequestsInFlight, shutdownDelaySeconds } = o;
  return {
    jwt,
    defaultTolerationSeconds,
    requestSeats: maxRequestsInFlight,
    shutdownDelayMs: shutdownDelaySeconds === undefined ? undefined : shutdownDelaySeconds * 1_000,
  };
}

/** Hands changes of the file to the server. One that is not valid is told once, and what held goes on holding. */
export class ServerConfigurationKeeper {
  readonly #layout: Place;
  readonly #server: Pick<ApiServer, 'useSettings'>;
  readonly #started: ServerConfiguration;
  /** undefined: no file. */
  #taken: string | undefined;
  #seen: string | undefined;
  /** Told last, and not again. */
  #complaint = '';

  /** `started`: what the server was started with. */
  constructor(layout: Place, server: Pick<ApiServer, 'useSettings'>, started: ReadConfiguration) {
    this.#layout = layout;
    this.#server = server;
    this.#started = started.settings;
    this.#taken = started.text;
    this.#seen = started.text;
  }

  async run(c: Ctx): Promise<void> {
    while (!c.signal.aborted) {
      await c.clock.sleep(LOOK_MS, c.signal).catch(() => undefined);
      if (!c.signal.aborted) await this.look(c);
    }
  }

  /** A change is taken when it is the same at two looks: an editor may write a file in pieces, or remove it first. */
  async look(c: Ctx): Promise<void> {
    try {
      const text = await readText(this.#layout);
      const isSettled = text === this.#seen;
      this.#seen = text;
      if (text === this.#taken || !isSettled) return;
      this.#taken = text;
      await this.#take(text, c);
      this.#complaint = '';
    } catch (e) {
      const err = messageOf(e);
      if (err !== this.#complaint)
        c.log.error({ err }, 'the server configuration cannot be used: what held before still holds');
      this.#complaint = err;
    }
  }

  async #take(text: string | undefined, c: Ctx): Promise<void> {
    const next = await parsed(this.#layout, text);
    const { jwt, defaultTolerationSeconds } = apiSettings(next);
    await this.#server.useSettings({ jwt, defaultTolerationSeconds });
    c.log.info(
      { issuers: next.jwt.map((j) => j.issuer.url), defaultTolerationSeconds },
      'server configuration taken up',
    );
    const waiting = changedAtStartOnly(this.#started, next);
    if (waiting.length > 0) c.log.warn({ settings: waiting }, 'these settings wait for the next start of this server');
  }
}

/** With the fields of all parts of the server. `disallowedIssuers`: those of the cluster's own tokens. */
export function parseServerText(text: string, disallowedIssuers: readonly string[]): Promise<ServerConfiguration> {
  return parseServerConfiguration(text, { disallowedIssuers, others: { registry: readSettings } });
}

async function parsed(layout: Place, text: string | undefined): Promise<ServerConfiguration> {
  if (text === undefined) return DEFAULT_CONFIGURATION;
  try {
    return await parseServerText(text, [tokenIssuer(layout)]);
  } catch (e) {
    if (!isKind(e, 'BadRequest')) throw e;
    throw new StatusError('BadRequest', `${serverConfigurationPath(layout)}: ${messageOf(e)}`, { cause: e });
  }
}

async function readText(layout: Place): Promise<string | undefined> {
  const path = serverConfigurationPath(layout);
  try {
    return await readFile(path, 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw new StatusError('Invalid', `cannot read ${path}: ${messageOf(e)}`, { cause: e });
  }
}
