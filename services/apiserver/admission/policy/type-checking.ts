/**
 * What the validations of a policy get wrong about the kinds that its rules name one by one: shown in its status, never an
 * error, since the kinds may come and go. Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
 */
import {
  apiVersionOf,
  Declarations,
  type DeepReadonly,
  type KindInfo,
  parseStructural,
  TableTypes,
  type ValidatingAdmissionPolicy,
} from '#lib/api';
import type { ObjectType } from '#lib/cel';
import type { KindRegistry } from '../../kind-registry.ts';
import { PolicyCompiler, type PolicyEnvironments } from './environment.ts';
import type { MatchRule } from './match.ts';

export interface ExpressionWarning {
  readonly fieldRef: string;
  readonly warning: string;
}

const KINDS_MAX = 10;
type Spec = DeepReadonly<ValidatingAdmissionPolicy['spec']>;

export class TypeChecker {
  readonly #kinds: KindRegistry;
  readonly #environments: PolicyEnvironments;
  readonly #table = new TableTypes();

  constructor(o: { readonly kinds: KindRegistry; readonly environments: PolicyEnvironments }) {
    this.#kinds = o.kinds;
    this.#environments = o.environments;
  }

  check(spec: Spec): ExpressionWarning[] {
    const { paramKind, variables = [] } = spec;
    const params = paramKind && this.#kinds.byGvk(paramKind.apiVersion ?? '', paramKind.kind ?? '');
    const paramsType = params && this.#typeOf(params);
    const compilers = kindsOf(spec, this.#kinds).map((kind) => {
      const types = { object: this.#typeOf(kind), params: paramsType };
      const compiler = new PolicyCompiler(this.#environments, { hasParams: paramKind !== undefined, types });
      for (const { name, expression } of variables) compiler.variable(name, expression);
      return { kind, compiler };
    });
    const warnings: ExpressionWarning[] = [];
    const note = (fieldRef: string, expression: string): void => {
      const found = compilers.flatMap(({ kind, compiler }) => {
        const issues = compiler.issues(expression);
        return issues === undefined ? [] : [`${apiVersionText(kind)}, Kind=${kind.kind}: ${issues}\n`];
      });
      if (found.length > 0) warnings.push({ fieldRef, warning: found.join('\n') });
    };
    for (const [i, v] of (spec.validations ?? []).entries()) {
      note(`spec.validations[${i}].expression`, v.expression);
      if (v.messageExpression) note(`spec.validations[${i}].messageExpression`, v.messageExpression);
    }
    return warnings;
  }

  /** undefined: dyn, there is no schema. */
  #typeOf(kind: KindInfo): ObjectType | undefined {
    if (kind.custom === undefined) return this.#table.of(kind.schema);
    const version = this.#kinds.definitionOf(kind)?.spec.versions.find((v) => v.name === kind.version);
    const props = version?.schema?.openAPIV3Schema;
    // A definition that is established has a schema that parses; nobody changes it.
    const parsed = props && parseStructural(props as Parameters<typeof parseStructural>[0], '');
    if (parsed?.schema === undefined) return undefined;
    const { type } = new Declarations().ofRoot(parsed.schema);
    if (type.kind !== 'object') return undefined;
    const metadata = { type: this.#table.of('meta/v1.ObjectMeta') };
    return { kind: 'object', name: kind.kind, fields: new Map([...type.fields, ['metadata', metadata]]) };
  }
}

/** The kinds that the rules name without any wildcard, by group, version and kind; at most ten of each rule. */
function kindsOf(spec: Spec, kinds: KindRegistry): KindInfo[] {
  const found = new Set<KindInfo>();
  for (const rule of spec.matchConstraints?.resourceRules ?? [])
    for (const kind of kindsOfRule(rule, kinds).slice(0, KINDS_MAX)) found.add(kind);
  return [...found].sort((a, b) => order(textOf(a), textOf(b)));
}

function kindsOfRule({ apiGroups = [], apiVersions = [], resources = [] }: MatchRule, kinds: KindRegistry): KindInfo[] {
  if ([...apiGroups, ...apiVersions].some((text) => text.includes('*'))) return [];
  const plain = resources.filter((r) => !/[*/]/.test(r)).toSorted();
  return apiGroups
    .toSorted()
    .flatMap((group) =>
      apiVersions
        .toSorted()
        .flatMap((version) => plain.flatMap((resource) => kinds.byResource(group, version, resource) ?? [])),
    );
}

function textOf({ group, version, kind }: KindInfo): string {
  return `${group}\0${version}\0${kind}`;
}

function order(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** As Go prints a group and version with an empty group: `/v1`. */
function apiVersionText(kind: KindInfo): string {
  return kind.group === '' ? `/${kind.version}` : apiVersionOf(kind);
}
