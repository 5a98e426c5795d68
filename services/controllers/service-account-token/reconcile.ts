/**
 * Fills Secrets of type kubernetes.io/service-account-token with a token that does not end, the authority and the namespace,
 * and deletes those whose account is gone. Before it deletes it asks the API, since the informers may be behind.
 * Source: kubernetes pkg/controller/serviceaccount/tokens_controller.go.
 */
import type { DeepReadonly, Secret, ServiceAccount } from '#lib/api';
import { Kinds, keyOf, keyText } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Controller, Informer } from '#lib/controller';
import { DONE, keysFrom, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { accountOf, base64, isTokenSecret, planTokenSecret } from './plan.ts';

/** The API server's hand on the signing keys; fields as in the token's claims. */
export interface SecretTokenSigner {
  issueLegacy(claims: {
    readonly namespace: string;
    readonly secretName: string;
    readonly account: { readonly name: string; readonly uid: string };
  }): string;
}

const BY_ACCOUNT = 'token-secrets-by-account';

export function startServiceAccountTokenController(deps: Deps, signer: SecretTokenSigner): Controller {
  const secrets = deps.informers.informer<Secret>(Kinds.secrets, { indexes: { [BY_ACCOUNT]: accountsOf } });
  const accounts = deps.informers.informer<ServiceAccount>(Kinds.serviceaccounts);
  return startController({
    ...deps,
    name: 'service-account-token',
    workers: 4,
    sources: [
      keysFrom(secrets, (s) => (isTokenSecret(s) ? [keyText(keyOf(s))] : [])),
      keysFrom(accounts, (a) => secrets.byIndex(BY_ACCOUNT, keyText(keyOf(a))).map((s) => keyText(keyOf(s)))),
    ],
    reconciler: {
      async reconcile(key, c) {
        const [namespace = '', name = ''] = key.split('/');
        const secret = secrets.get({ namespace, name });
        if (secret !== undefined && isTokenSecret(secret)) await bring(deps, signer, { secret, accounts }, c);
        return DONE;
      },
    },
  });
}

function accountsOf(secret: DeepReadonly<Secret>): readonly string[] {
  const account = accountOf(secret);
  return account === undefined ? [] : [account];
}

async function bring(
  deps: Deps,
  signer: SecretTokenSigner,
  { secret, accounts }: { secret: DeepReadonly<Secret>; accounts: Informer<ServiceAccount> },
  c: Ctx,
): Promise<void> {
  const { namespace = '', name, uid, resourceVersion } = secret.metadata;
  const [, accountName = ''] = (accountOf(secret) ?? '').split('/');
  const key = { namespace, name: accountName };
  let account = accounts.get(key);
  let plan = planTokenSecret(secret, account, deps.config.caPem);
  if (plan.action === 'delete') {
    account = await currentAccount(deps, key, c);
    plan = planTokenSecret(secret, account, deps.config.caPem);
  }
  if (plan.action === 'none') return;
  try {
    if (plan.action === 'delete' || account === undefined) {
      await deps.client.delete(Kinds.secrets, { namespace, name }, { preconditions: { uid, resourceVersion } }, c);
      return;
    }
    const ref = { name: account.metadata.name, uid: account.metadata.uid ?? '' };
    const token = plan.needsToken
      ? { token: base64(signer.issueLegacy({ namespace, secretName: name, account: ref })) }
      : {};
    const metadata = { ...secret.metadata, annotations: { ...secret.metadata.annotations, ...plan.annotations } };
    const data = { ...secret.data, ...plan.data, ...token };
    await deps.client.update<Secret>(Kinds.secrets, { ...secret, metadata, data }, c);
  } catch (e) {
    // Gone already, or its namespace is going.
    if (!isKind(e, 'NotFound')) throw e;
  }
}

async function currentAccount(
  deps: Deps,
  key: { namespace: string; name: string },
  c: Ctx,
): Promise<DeepReadonly<ServiceAccount> | undefined> {
  try {
    return await deps.client.get<ServiceAccount>(Kinds.serviceaccounts, key, c);
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}
