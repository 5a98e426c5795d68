/**
 * One issuer whose tokens are believed, in the shape of Kubernetes' structured authentication.
 * Source: apiserver.config.k8s.io/v1 JWTAuthenticator (KEP-3331).
 */
export interface JwtAuthenticatorSpec {
  readonly issuer: IssuerSpec;
  readonly claimValidationRules?: readonly ClaimValidationRule[] | undefined;
  readonly claimMappings: ClaimMappings;
  readonly userValidationRules?: readonly UserValidationRule[] | undefined;
}

export interface IssuerSpec {
  /** The `iss` of its tokens. https. */
  readonly url: string;
  /** Where the discovery document is, exactly; '' = below `url`. */
  readonly discoveryURL?: string | undefined;
  /** PEM of the authorities that its certificate must come from; '' = those that the machine trusts. */
  readonly certificateAuthority?: string | undefined;
  /** At least one must be among the token's. */
  readonly audiences: readonly string[];
  readonly audienceMatchPolicy?: string | undefined;
}

/** `claim` must be a string equal to `requiredValue`, or `expression` be true of `claims`. */
export interface ClaimValidationRule {
  readonly claim?: string | undefined;
  readonly requiredValue?: string | undefined;
  readonly expression?: string | undefined;
  readonly message?: string | undefined;
}

export interface ClaimMappings {
  readonly username: PrefixedClaimOrExpression;
  readonly groups?: PrefixedClaimOrExpression | undefined;
  readonly uid?: ClaimOrExpression | undefined;
  readonly extra?: readonly ExtraMapping[] | undefined;
}

export interface ClaimOrExpression {
  readonly claim?: string | undefined;
  readonly expression?: string | undefined;
}

export interface PrefixedClaimOrExpression extends ClaimOrExpression {
  /** Required beside `claim`; may be ''. */
  readonly prefix?: string | undefined;
}

export interface ExtraMapping {
  readonly key: string;
  readonly valueExpression: string;
}

/** True of `user`, as the mappings made it. */
export interface UserValidationRule {
  readonly expression: string;
  readonly message?: string | undefined;
}
