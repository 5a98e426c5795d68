/**
 * What a Secret of type kubernetes.io/service-account-token lacks: pure.
 * Source: kubernetes pkg/controller/serviceaccount/tokens_controller.go.
 */
import type { DeepReadonly, Secret, ServiceAccount } from '#lib/api';

export const TOKEN_SECRET_TYPE = 'kubernetes.io/service-account-token';
export const ACCOUNT_NAME = 'kubernetes.io/service-account.name';
export const ACCOUNT_UID = 'kubernetes.io/service-account.uid';

export type TokenSecretPlan =
  | { readonly action: 'none' }
  /** Its account is gone, or is another one of the same name. */
  | { readonly action: 'delete' }
  | {
      readonly action: 'update';
      readonly needsToken: boolean;
      /** Base64, as in the object; without the token. */
      readonly data: Readonly<Record<string, string>>;
      readonly annotations: Readonly<Record<string, string>>;
    };

export function isTokenSecret(secret: DeepReadonly<Secret>): boolean {
  return secret.type === TOKEN_SECRET_TYPE;
}

/** `ns/name` of the account that it names; undefined for Secrets of other types. */
export function accountOf(secret: DeepReadonly<Secret>): string | undefined {
  const name = isTokenSecret(secret) ? secret.metadata.annotations?.[ACCOUNT_NAME] : undefined;
  return name === undefined ? undefined : `${secret.metadata.namespace ?? ''}/${name}`;
}

export function planTokenSecret(
  secret: DeepReadonly<Secret>,
  account: DeepReadonly<ServiceAccount> | undefined,
  caPem: string | undefined,
): TokenSecretPlan {
  if (accountOf(secret) === undefined || secret.metadata.deletionTimestamp !== undefined) return { action: 'none' };
  const { namespace = '', annotations = {} } = secret.metadata;
  const uid = annotations[ACCOUNT_UID] ?? '';
  if (account === undefined) return { action: 'delete' };
  const { uid: accountUid = '' } = account.metadata;
  if (uid !== '' && uid !== accountUid) return { action: 'delete' };
  const data: Record<string, string> = {};
  const known = secret.data ?? {};
  const ca = caPem === undefined ? undefined : base64(caPem);
  if (ca !== undefined && known['ca.crt'] !== ca) data['ca.crt'] = ca;
  if (!known['namespace']) data['namespace'] = base64(namespace);
  const needsToken = !known['token'];
  if (!needsToken && Object.keys(data).length === 0 && uid === accountUid) return { action: 'none' };
  return { action: 'update', needsToken, data, annotations: { [ACCOUNT_UID]: accountUid } };
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
