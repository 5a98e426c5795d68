/**
 * Whether a JwtAuthenticatorSpec could work, in Kubernetes' words, and what its expressions compile to.
 * Source: k8s.io/apiserver/pkg/apis/apiserver/validation/validation.go.
 */
import { X509Certificate } from 'node:crypto';
import { type FieldError, fieldErrors, validateDomainPrefixedPath } from '#lib/api';
import type { ClaimMapping, ClaimSource, Rule } from './claims.ts';
import { type Result, type Subject, TokenExpression, TokenExpressions } from './expressions.ts';
import type {
  ClaimMappings,
  ClaimOrExpression,
  ClaimValidationRule,
  IssuerSpec,
  JwtAuthenticatorSpec,
  PrefixedClaimOrExpression,
  UserValidationRule,
} from './spec.ts';

const { duplicate, invalid, required, tooMany } = fieldErrors;

const ISSUERS_MAX = 64;
const MATCH_ANY = 'MatchAny';
const BOTH = "claim and expression can't both be set";

/** All of a server. `disallowedIssuers`: its own, of service accounts. */
export function validateJwtAuthenticators(
  specs: readonly JwtAuthenticatorSpec[],
  at: string,
  disallowedIssuers: readonly string[],
): FieldError[] {
  if (specs.length > ISSUERS_MAX) return [tooMany(at, specs.length, ISSUERS_MAX)];
  const errors: FieldError[] = [];
  const urls = new Unique(errors);
  const discoveryUrls = new Unique(errors);
  for (const [i, spec] of specs.entries()) {
    const path = `${at}[${i}]`;
    errors.push(...compileJwtAuthenticator(spec, path, disallowedIssuers).errors);
    const { url, discoveryURL = '' } = spec.issuer;
    urls.see(`${path}.issuer.url`, url);
    if (discoveryURL !== '') discoveryUrls.see(`${path}.issuer.discoveryURL`, discoveryURL);
  }
  return errors;
}

/** The mapping is of use only without errors. */
export function compileJwtAuthenticator(
  spec: JwtAuthenticatorSpec,
  at: string,
  disallowedIssuers: readonly string[] = [],
): { readonly mapping: ClaimMapping; readonly errors: readonly FieldError[] } {
  const { issuer, claimValidationRules = [], claimMappings, userValidationRules = [] } = spec;
  const compiler = new SpecCompiler();
  validateIssuer(issuer, `${at}.issuer`, disallowedIssuers, compiler.errors);
  const { requiredClaims, claimRules } = compiler.claimRules(claimValidationRules, `${at}.claimValidationRules`);
  const mapped = compiler.mappings(claimMappings, `${at}.claimMappings`, claimRules);
  const userRules = compiler.userRules(userValidationRules, `${at}.userValidationRules`);
  return { mapping: { ...mapped, requiredClaims, claimRules, userRules }, errors: compiler.errors };
}

function validateIssuer(issuer: IssuerSpec, at: string, disallowed: readonly string[], errors: FieldError[]): void {
  const { url, discoveryURL = '', audiences, audienceMatchPolicy = '', certificateAuthority = '' } = issuer;
  if (url === '') errors.push(required(`${at}.url`));
  else validateUrl(url, `${at}.url`, disallowed, errors);
  if (discoveryURL !== '') {
    if (url !== '' && trimmed(url) === trimmed(discoveryURL))
      errors.push(invalid(`${at}.discoveryURL`, discoveryURL, 'discoveryURL must be different from URL'));
    validateUrl(discoveryURL, `${at}.discoveryURL`, [], errors);
  }
  validateAudiences(audiences, audienceMatchPolicy, at, errors);
  const fault = certificateAuthority === '' ? undefined : certificateFault(certificateAuthority);
  if (fault !== undefined) errors.push(invalid(`${at}.certificateAuthority`, '<omitted>', fault));
}

function trimmed(url: string): string {
  let end = url.length;
  while (end > 0 && url[end - 1] === '/') end--;
  return url.slice(0, end);
}

function validateUrl(text: string, at: string, disallowed: readonly string[], errors: FieldError[]): void {
  const fail = (why: string): void => void errors.push(invalid(at, text, why));
  if (disallowed.includes(text))
    fail(`URL must not overlap with disallowed issuers: [${disallowed.toSorted().join(' ')}]`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') fail('URL scheme must be https');
  if (url === undefined) return;
  if (url.username !== '' || url.password !== '') fail('URL must not contain a username or password');
  if (url.search !== '') fail('URL must not contain a query');
  if (url.hash !== '') fail('URL must not contain a fragment');
}

function validateAudiences(audiences: readonly string[], policy: string, at: string, errors: FieldError[]): void {
  const path = `${at}.audiences`;
  if (audiences.length === 0) {
    errors.push(required(path, `at least one ${path} is required`));
    return;
  }
  const seen = new Unique(errors);
  for (const [i, audience] of audiences.entries()) {
    if (audience === '') errors.push(required(`${path}[${i}]`));
    seen.see(`${path}[${i}]`, audience);
  }
  if (policy === MATCH_ANY || (policy === '' && audiences.length === 1)) return;
  const why =
    audiences.length > 1
      ? 'audienceMatchPolicy must be MatchAny for multiple audiences'
      : 'audienceMatchPolicy must be empty or MatchAny for single audience';
  errors.push(invalid(`${at}.audienceMatchPolicy`, policy, why));
}

function certificateFault(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return 'data does not contain any valid RSA or ECDSA certificates';
  try {
    for (const block of blocks) new X509Certificate(block);
    return undefined;
  } catch (e) {
    return e instanceof Error ? e.message : String(e);
  }
}

/** Values that may stand only once. */
class Unique {
  readonly #errors: FieldError[];
  readonly #seen = new Set<string>();

  constructor(errors: FieldError[]) {
    this.#errors = errors;
  }

  /** Whether it is the first. */
  see(at: string, value: string): boolean {
    const isFirst = !this.#seen.has(value);
    if (!isFirst) this.#errors.push(duplicate(at, value));
    this.#seen.add(value);
    return isFirst;
  }
}

class SpecCompiler {
  readonly errors: FieldError[] = [];
  readonly #expressions = new TokenExpressions();

  claimRules(
    rules: readonly ClaimValidationRule[],
    at: string,
  ): Pick<ClaimMapping, 'claimRules'> & { readonly requiredClaims: ReadonlyMap<string, string> } {
    const requiredClaims = new Map<string, string>();
    const claimRules: Rule[] = [];
    const [claims, expressions] = [new Unique(this.errors), new Unique(this.errors)];
    for (const [i, rule] of rules.entries()) {
      const path = `${at}[${i}]`;
      const { claim = '', expression = '', message = '', requiredValue = '' } = rule;
      if (claim !== '' && expression !== '') this.errors.push(invalid(path, claim, BOTH));
      else if (claim === '' && expression === '') this.errors.push(required(path, 'claim or expression is required'));
      else if (claim !== '') {
        if (message !== '')
          this.errors.push(invalid(`${path}.message`, message, 'may not be specified when claim is set'));
        if (claims.see(`${path}.claim`, claim)) requiredClaims.set(claim, requiredValue);
      } else {
        if (requiredValue !== '')
          this.errors.push(
            invalid(`${path}.requiredValue`, requiredValue, 'may not be specified when expression is set'),
          );
        claimRules.push(...this.#rule({ expression, message }, 'claims', path, expressions));
      }
    }
    return { requiredClaims, claimRules };
  }

  userRules(rules: readonly UserValidationRule[], at: string): Rule[] {
    const seen = new Unique(this.errors);
    return rules.flatMap((rule, i) => this.#rule(rule, 'user', `${at}[${i}]`, seen));
  }

  mappings(
    m: ClaimMappings,
    at: string,
    claimRules: readonly Rule[],
  ): Pick<ClaimMapping, 'username' | 'groups' | 'uid' | 'extra'> {
    const username = this.#prefixed(m.username, `${at}.username`, true);
    const groups = m.groups === undefined ? undefined : this.#prefixed(m.groups, `${at}.groups`, false);
    const uid = m.uid === undefined ? undefined : this.#uid(m.uid, `${at}.uid`);
    const extra = this.#extra(m, `${at}.extra`);
    if (username?.from === 'expression') {
      const { expression } = username;
      const verifying = [expression, ...extra.map((e) => e.expression), ...claimRules.map((r) => r.expression)];
      if (expression.selects('email') && !verifying.some((e) => e.selects('email_verified')))
        this.errors.push(invalid(`${at}.username.expression`, expression.text, UNVERIFIED_EMAIL));
    }
    return { username: username ?? { from: 'claim', claim: '', prefix: '' }, groups, uid, extra };
  }

  #prefixed(m: PrefixedClaimOrExpression, at: string, isRequired: boolean): ClaimSource | undefined {
    const { claim = '', expression = '', prefix } = m;
    if (claim !== '' && expression !== '') this.errors.push(invalid(at, '', BOTH));
    else if (expression !== '') {
      if (prefix !== undefined)
        this.errors.push(invalid(`${at}.prefix`, prefix, 'may not be specified when expression is set'));
      return this.#source(expression, `${at}.expression`);
    } else if (claim !== '') {
      if (prefix === undefined) this.errors.push(required(`${at}.prefix`, NO_PREFIX));
      return { from: 'claim', claim, prefix: prefix ?? '' };
    } else if (isRequired) this.errors.push(required(at, 'claim or expression is required'));
    return undefined;
  }

  #uid({ claim = '', expression = '' }: ClaimOrExpression, at: string): ClaimSource | undefined {
    if (claim !== '' && expression !== '') this.errors.push(invalid(at, '', BOTH));
    else if (expression !== '') return this.#source(expression, `${at}.expression`);
    else if (claim !== '') return { from: 'claim', claim, prefix: '' };
    return undefined;
  }

  #extra({ extra = [] }: ClaimMappings, at: string): ClaimMapping['extra'] {
    const keys = new Unique(this.errors);
    const mapped: { key: string; expression: TokenExpression }[] = [];
    for (const [i, { key, valueExpression }] of extra.entries()) {
      const path = `${at}[${i}]`;
      this.errors.push(...validateDomainPrefixedPath(key, `${path}.key`));
      if (key !== key.toLowerCase()) this.errors.push(invalid(`${path}.key`, key, 'must be lowercase'));
      if (isReserved(key)) this.errors.push(invalid(`${path}.key`, key, RESERVED));
      if (!keys.see(`${path}.key`, key)) continue;
      if (valueExpression === '') this.errors.push(required(`${path}.valueExpression`));
      else {
        const expression = this.#compile(valueExpression, 'claims', 'any', `${path}.valueExpression`);
        if (expression !== undefined) mapped.push({ key, expression });
      }
    }
    return mapped;
  }

  #rule({ expression: text, message = '' }: UserValidationRule, subject: Subject, at: string, seen: Unique): Rule[] {
    const path = `${at}.expression`;
    if (text === '') {
      this.errors.push(required(path));
      return [];
    }
    if (!seen.see(path, text)) return [];
    const expression = this.#compile(text, subject, 'bool', path);
    return expression === undefined ? [] : [{ expression, message }];
  }

  #source(text: string, at: string): ClaimSource | undefined {
    const expression = this.#compile(text, 'claims', 'any', at);
    return expression === undefined ? undefined : { from: 'expression', expression };
  }

  #compile(text: string, subject: Subject, result: Result, at: string): TokenExpression | undefined {
    const compiled = this.#expressions.compile(text, subject, result);
    if (compiled instanceof TokenExpression) return compiled;
    this.errors.push(invalid(at, text, compiled.error));
    return undefined;
  }
}

const NO_PREFIX = 'prefix is required when claim is set. It can be set to an empty string to disable prefixing';
const RESERVED = 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use';
const UNVERIFIED_EMAIL =
  'claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression ' +
  'or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression';

function isReserved(key: string): boolean {
  const slash = key.indexOf('/');
  const domain = slash < 0 ? '' : key.slice(0, slash);
  return ['kubernetes.io', 'k8s.io'].some((d) => domain === d || domain.endsWith(`.${d}`));
}
