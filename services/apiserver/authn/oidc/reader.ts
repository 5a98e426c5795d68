/** `jwt` of a configuration file: its shape only; see validation.ts for what it must say. */
import type { FieldReader } from '#lib/api';
import type {
  ClaimMappings,
  ClaimOrExpression,
  ClaimValidationRule,
  ExtraMapping,
  IssuerSpec,
  JwtAuthenticatorSpec,
  PrefixedClaimOrExpression,
  UserValidationRule,
} from './spec.ts';

export function readJwtAuthenticators(value: unknown, at: string, fields: FieldReader): JwtAuthenticatorSpec[] {
  const reader = new JwtReader(fields);
  return fields.list(value, at).map((item, i) => reader.authenticator(item, `${at}[${i}]`));
}

class JwtReader {
  readonly #fields: FieldReader;

  constructor(fields: FieldReader) {
    this.#fields = fields;
  }

  authenticator(value: unknown, at: string): JwtAuthenticatorSpec {
    const known = ['issuer', 'claimValidationRules', 'claimMappings', 'userValidationRules'];
    const o = this.#fields.object(value, at, known);
    return {
      issuer: this.#issuer(o['issuer'], `${at}.issuer`),
      claimValidationRules: this.#each(o['claimValidationRules'], `${at}.claimValidationRules`, (v, p) =>
        this.#claimRule(v, p),
      ),
      claimMappings: this.#mappings(o['claimMappings'], `${at}.claimMappings`),
      userValidationRules: this.#each(o['userValidationRules'], `${at}.userValidationRules`, (v, p) =>
        this.#userRule(v, p),
      ),
    };
  }

  #each<T>(value: unknown, at: string, read: (item: unknown, at: string) => T): T[] {
    return this.#fields.list(value, at).map((item, i) => read(item, `${at}[${i}]`));
  }

  #issuer(value: unknown, at: string): IssuerSpec {
    const known = ['url', 'discoveryURL', 'certificateAuthority', 'audiences', 'audienceMatchPolicy'];
    const o = this.#fields.optionalObject(value, at, known) ?? {};
    return {
      url: this.#fields.string(o['url'], `${at}.url`),
      discoveryURL: this.#fields.string(o['discoveryURL'], `${at}.discoveryURL`),
      certificateAuthority: this.#fields.string(o['certificateAuthority'], `${at}.certificateAuthority`),
      audiences: this.#fields.strings(o['audiences'], `${at}.audiences`),
      audienceMatchPolicy: this.#fields.string(o['audienceMatchPolicy'], `${at}.audienceMatchPolicy`),
    };
  }

  #claimRule(value: unknown, at: string): ClaimValidationRule {
    const o = this.#fields.object(value, at, ['claim', 'requiredValue', 'expression', 'message']);
    return {
      claim: this.#fields.string(o['claim'], `${at}.claim`),
      requiredValue: this.#fields.string(o['requiredValue'], `${at}.requiredValue`),
      expression: this.#fields.string(o['expression'], `${at}.expression`),
      message: this.#fields.string(o['message'], `${at}.message`),
    };
  }

  #userRule(value: unknown, at: string): UserValidationRule {
    const o = this.#fields.object(value, at, ['expression', 'message']);
    return {
      expression: this.#fields.string(o['expression'], `${at}.expression`),
      message: this.#fields.string(o['message'], `${at}.message`),
    };
  }

  #mappings(value: unknown, at: string): ClaimMappings {
    const o = this.#fields.optionalObject(value, at, ['username', 'groups', 'uid', 'extra']) ?? {};
    return {
      username: this.#prefixed(o['username'], `${at}.username`) ?? {},
      groups: this.#prefixed(o['groups'], `${at}.groups`),
      uid: this.#uid(o['uid'], `${at}.uid`),
      extra: this.#each(o['extra'], `${at}.extra`, (v, p) => this.#extra(v, p)),
    };
  }

  #prefixed(value: unknown, at: string): PrefixedClaimOrExpression | undefined {
    const o = this.#fields.optionalObject(value, at, ['claim', 'prefix', 'expression']);
    if (o === undefined) return undefined;
    return {
      claim: this.#fields.string(o['claim'], `${at}.claim`),
      prefix: this.#fields.optionalString(o['prefix'], `${at}.prefix`),
      expression: this.#fields.string(o['expression'], `${at}.expression`),
    };
  }

  #uid(value: unknown, at: string): ClaimOrExpression | undefined {
    const o = this.#fields.optionalObject(value, at, ['claim', 'expression']);
    if (o === undefined) return undefined;
    return {
      claim: this.#fields.string(o['claim'], `${at}.claim`),
      expression: this.#fields.string(o['expression'], `${at}.expression`),
    };
  }

  #extra(value: unknown, at: string): ExtraMapping {
    const o = this.#fields.object(value, at, ['key', 'valueExpression']);
    return {
      key: this.#fields.string(o['key'], `${at}.key`),
      valueExpression: this.#fields.string(o['valueExpression'], `${at}.valueExpression`),
    };
  }
}
