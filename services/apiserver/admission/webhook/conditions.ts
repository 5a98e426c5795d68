/**
 * matchConditions: CEL over the request, all of which must be true for a webhook to be called. One that is false decides; else
 * one that failed leaves it to the failurePolicy.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions/matcher.go.
 */
import {
  AUTHORIZER_TYPE,
  AuthorizerValue,
  BOOL,
  compile,
  DYN,
  type Env,
  fromJson,
  kubernetesEnv,
  listOf,
  mapOf,
  type ObjectType,
  objectType,
  PER_CALL_LIMIT,
  type Program,
  RESOURCE_CHECK_TYPE,
  ResourceCheck,
  RUNTIME_COST_BUDGET_MATCH_CONDITIONS,
  RUNTIME_STEPS_BUDGET,
  STRING,
} from '#lib/cel';
import { aggregateText } from '../refusal.ts';
import type { AuthorizationChecks } from './authorization.ts';

export interface Condition {
  readonly name: string;
  readonly expression: string;
}

export interface ConditionInput {
  readonly object: unknown;
  readonly oldObject: unknown;
  /** The `request` of the AdmissionReview without its objects. */
  readonly request: { readonly [key: string]: unknown };
  readonly authorization: AuthorizationChecks;
  /** What `authorizer.requestResource` is about. */
  readonly attributes: {
    readonly group: string;
    readonly resource: string;
    readonly subresource: string;
    readonly namespace: string;
    readonly name: string;
  };
}

export type ConditionResult =
  | { readonly result: 'matches' }
  | { readonly result: 'excluded' }
  | { readonly result: 'failed'; readonly message: string };

const REQUEST_RESOURCE = 'authorizer.requestResource';
const GVK = objectType('kubernetes.GroupVersionKind', { group: STRING, version: STRING, kind: STRING });
const GVR = objectType('kubernetes.GroupVersionResource', { group: STRING, version: STRING, resource: STRING });
const USER = objectType('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});
const REQUEST: ObjectType = objectType('kubernetes.AdmissionRequest', {
  kind: GVK,
  resource: GVR,
  subResource: STRING,
  requestKind: GVK,
  requestResource: GVR,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: USER,
  dryRun: BOOL,
  options: DYN,
});

/** A memo of a constant. */
const LOADED: { env?: Env } = {};

function environment(): Env {
  LOADED.env ??= kubernetesEnv().extend({
    objectTypes: [REQUEST, GVK, GVR, USER],
    variables: {
      object: DYN,
      oldObject: DYN,
      request: REQUEST,
      authorizer: AUTHORIZER_TYPE,
      [REQUEST_RESOURCE]: RESOURCE_CHECK_TYPE,
    },
  });
  return LOADED.env;
}

type Compiled = { readonly expression: string } & (
  | { readonly program: Program }
  | { readonly program: undefined; readonly text: string }
);

export class MatchConditions {
  readonly #compiled: readonly Compiled[];

  constructor(conditions: readonly Condition[]) {
    this.#compiled = conditions.map(({ expression }) => {
      const result = compile(expression, environment(), { resultType: BOOL });
      if ('program' in result) return { expression, program: result.program };
      return { expression, program: undefined, text: `compilation failed: ${result.errors.text}` };
    });
  }

  async evaluate(input: ConditionInput): Promise<ConditionResult> {
    const result = await input.authorization.settled(() => this.#once(input));
    return result ?? { result: 'failed', message: 'the conditions ask the authorizer without an end' };
  }

  #once(input: ConditionInput): ConditionResult {
    const bindings = bindingsOf(input);
    const failures: string[] = [];
    let cost = RUNTIME_COST_BUDGET_MATCH_CONDITIONS;
    let steps = RUNTIME_STEPS_BUDGET;
    for (const compiled of this.#compiled) {
      if (compiled.program === undefined) {
        failures.push(compiled.text);
        continue;
      }
      const outcome = compiled.program.evaluate(bindings, {
        costBudget: Math.min(cost, PER_CALL_LIMIT),
        stepsMax: steps,
      });
      cost -= outcome.cost;
      steps -= outcome.steps;
      if ('error' in outcome)
        failures.push(`expression '${compiled.expression}' resulted in error: ${outcome.error.message}`);
      else if (outcome.value === false) return { result: 'excluded' };
      if (cost <= 0 || steps <= 0) return { result: 'failed', message: OUT_OF_BUDGET };
    }
    if (failures.length === 0) return { result: 'matches' };
    return { result: 'failed', message: aggregateText(failures) };
  }
}

const OUT_OF_BUDGET = 'validation failed due to running out of cost budget, no further validation rules will be run';

function bindingsOf({ object, oldObject, request, authorization, attributes }: ConditionInput) {
  const authorizer = new AuthorizerValue(authorization);
  const selectors = { fieldSelector: '', labelSelector: '' };
  return {
    object: fromJson(object ?? null, DYN),
    oldObject: fromJson(oldObject ?? null, DYN),
    request: fromJson(request, REQUEST),
    authorizer,
    [REQUEST_RESOURCE]: new ResourceCheck(authorizer, { ...attributes, ...selectors }),
  };
}
