/**
 * The keys of the cluster's own tokens (service accounts): one signs, all that ever signed a token still alive verify.
 * Where they are kept is the implementation's business (services/apiserver/authn/store-token-keys.ts: etcd).
 */
import type { Ctx } from '#lib/base';
import type { SigningKey, VerifyingKey } from './jwt.ts';

export type NamedKey = VerifyingKey & { readonly kid: string };

export interface TokenKeys {
  /** Signs now. Known to every replica before it signs the first token. */
  signer(): SigningKey;
  /** To be published; the signer's first. */
  verifiers(): readonly NamedKey[];
  /** Asks where the keys are kept for one that is not known here yet, at a bounded rate. */
  verifierOf(kid: string, c: Ctx): Promise<NamedKey | undefined>;
}
