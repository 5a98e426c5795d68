/** All that the API server knows of bearer tokens, made once in main.ts: who issues, who is believed, for which audiences. */
import type { Clock, Logger, Random } from '#lib/base';
import type { TokenKeys } from '#lib/pki';
import type { Storage } from '../storage.ts';
import { BootstrapTokens } from './bootstrap-tokens.ts';
import { LiveObjects } from './live-objects.ts';
import { EXTENDED_SECONDS } from './service-account-claims.ts';
import { ServiceAccountTokens } from './service-account-tokens.ts';
import { OwnAudience, type TokenAuthenticator, TokenUnion } from './token-authenticator.ts';

/** Settings of service account tokens: kube-apiserver's --service-account-issuer, --api-audiences and their like. */
export interface ServiceAccountConfig {
  /** The first signs, all are accepted. Default: `https://kubernetes.default.svc.cluster.local`. */
  readonly issuers?: readonly [string, ...string[]] | undefined;
  /** What tokens for this API server are for. Default: the first issuer. */
  readonly audiences?: readonly string[] | undefined;
  /** Longer requests are shortened, with a warning. Default one year. */
  readonly maxExpirationSeconds?: number | undefined;
  /** Where relying parties get the keys. Default: this server's advertised address. */
  readonly jwksUri?: string | undefined;
}

export const DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local';

export interface TokenService {
  readonly accounts: ServiceAccountTokens;
  readonly authenticator: TokenAuthenticator;
  /** Of this API server. */
  readonly audiences: readonly string[];
  readonly maxExpirationSeconds: number;
  readonly keys: TokenKeys;
  readonly objects: LiveObjects;
}

export interface TokenServiceOptions {
  readonly storage: Storage;
  readonly keys: TokenKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly config: ServiceAccountConfig;
  /** For this API server alone; asked after the cluster's own: OIDC and the like, in order. */
  readonly others: readonly TokenAuthenticator[];
}

export function makeTokenService(o: TokenServiceOptions): TokenService {
  const { keys, clock, config } = o;
  const objects = new LiveObjects(o.storage);
  const issuers = config.issuers ?? [DEFAULT_ISSUER];
  const audiences = config.audiences ?? [issuers[0]];
  const accounts = new ServiceAccountTokens({ ...o, objects, issuers, audiences });
  const others = [new BootstrapTokens({ objects, clock }), ...o.others].map((a) => new OwnAudience(a, audiences));
  return {
    accounts,
    authenticator: new TokenUnion([accounts, ...others]),
    audiences,
    maxExpirationSeconds: config.maxExpirationSeconds ?? EXTENDED_SECONDS,
    keys,
    objects,
  };
}
