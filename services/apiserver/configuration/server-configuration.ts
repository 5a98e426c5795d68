/**
 * The settings of a server, as an administrator writes them: `config.berth.dev/v1 ServerConfiguration`. `jwt` is that of
 * Kubernetes' AuthenticationConfiguration; the rest are kube-apiserver's flags of like names. Pure but for the reading of YAML.
 */

import { type FieldReader, readConfiguration } from '#lib/api';
import { readJwtAuthenticators } from '../authn/oidc/reader.ts';
import type { JwtAuthenticatorSpec } from '../authn/oidc/spec.ts';
import { validateJwtAuthenticators } from '../authn/oidc/validation.ts';

const API_VERSION = 'config.berth.dev/v1';
const KIND = 'ServerConfiguration';

/** Absent = the server's default. */
export interface ServerConfiguration {
  /** Issuers whose id tokens are believed. Taken up while the server runs. */
  readonly jwt: readonly JwtAuthenticatorSpec[];
  /** Of not-ready and unreachable, for new pods. Taken up while the server runs. */
  readonly defaultTolerationSeconds: number | undefined;
  /** Requests that run at the same time, shared by priority levels. */
  readonly maxRequestsInFlight: number | undefined;
  /** When stopping: how long it still serves while /readyz fails. */
  readonly shutdownDelaySeconds: number | undefined;
}

export const DEFAULT_CONFIGURATION: ServerConfiguration = {
  jwt: [],
  defaultTolerationSeconds: undefined,
  maxRequestsInFlight: undefined,
  shutdownDelaySeconds: undefined,
};

/** What only a start of the server takes up. */
const AT_START = ['maxRequestsInFlight', 'shutdownDelaySeconds'] as const;

const INT32_MAX = 2 ** 31 - 1;
const REQUESTS_MAX = 100_000;
/** The parent of a server ends it 15 s after it was asked to stop (agent/native/tend.c). */
const SHUTDOWN_DELAY_SECONDS_MAX = 10;

/** Checks one field of the file that another part of the cluster reads. */
export type FieldCheck = (value: unknown, at: string, fields: FieldReader) => unknown;

export interface ConfigurationReading {
  /** Issuers of the cluster's own tokens. */
  readonly disallowedIssuers: readonly string[];
  /** Fields that are others' to read, by name. */
  readonly others?: Readonly<Record<string, FieldCheck>> | undefined;
}

/** Throws BadRequest that names every mistake by its field. */
export async function parseServerConfiguration(text: string, o: ConfigurationReading): Promise<ServerConfiguration> {
  return await readConfiguration(text, 'the server configuration', (value, fields) => read(value, fields, o));
}

function read(value: unknown, fields: FieldReader, r: ConfigurationReading): ServerConfiguration {
  const { disallowedIssuers, others = {} } = r;
  const known = ['apiVersion', 'kind', 'jwt', 'defaultTolerationSeconds', ...AT_START, ...Object.keys(others)];
  const o = fields.object(value, '', known);
  for (const [name, check] of Object.entries(others)) check(o[name], name, fields);
  if (o['apiVersion'] !== API_VERSION || o['kind'] !== KIND)
    fields.mistakes.push(`apiVersion, kind: must be ${API_VERSION} ${KIND}`);
  const integer = (name: string, min: number, max: number): number | undefined =>
    fields.integer(o[name], name, { min, max });
  const jwt = readJwtAuthenticators(o['jwt'], 'jwt', fields);
  fields.add(...validateJwtAuthenticators(jwt, 'jwt', disallowedIssuers));
  return {
    jwt,
    defaultTolerationSeconds: integer('defaultTolerationSeconds', 0, INT32_MAX),
    maxRequestsInFlight: integer('maxRequestsInFlight', 1, REQUESTS_MAX),
    shutdownDelaySeconds: integer('shutdownDelaySeconds', 0, SHUTDOWN_DELAY_SECONDS_MAX),
  };
}

/** Names of settings that differ and that a running server does not take up. */
export function changedAtStartOnly(a: ServerConfiguration, b: ServerConfiguration): string[] {
  return AT_START.filter((name) => a[name] !== b[name]);
}
