/** What may be set anew while the server runs: each part is asked at every request. */
import type { Ctx } from '#lib/base';
import { DefaultTolerationSeconds } from './admission/pods.ts';
import { OidcIssuers } from './authn/oidc/issuers.ts';
import type { JwtAuthenticatorSpec } from './authn/oidc/spec.ts';

export interface Settings {
  /** Issuers whose id tokens are believed; in the order given. Default none. */
  readonly jwt?: readonly JwtAuthenticatorSpec[] | undefined;
  /** Default toleration of not-ready/unreachable NoExecute. Default 3 s. */
  readonly defaultTolerationSeconds?: number | undefined;
}

const DEFAULT_TOLERATION_SECONDS = 3;

export class LiveSettings implements AsyncDisposable {
  readonly issuers: OidcIssuers;
  readonly tolerations: DefaultTolerationSeconds;

  /** Throws Invalid for an issuer that could not work. */
  constructor({ jwt = [], defaultTolerationSeconds: seconds = DEFAULT_TOLERATION_SECONDS }: Settings, c: Ctx) {
    this.issuers = new OidcIssuers(jwt, c);
    this.tolerations = new DefaultTolerationSeconds(seconds);
  }

  /** All of it: what is absent has its default. Throws Invalid, and nothing has changed. */
  async replace({ jwt = [], defaultTolerationSeconds = DEFAULT_TOLERATION_SECONDS }: Settings): Promise<void> {
    await this.issuers.replace(jwt);
    this.tolerations.seconds = defaultTolerationSeconds;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.issuers[Symbol.asyncDispose]();
  }
}
