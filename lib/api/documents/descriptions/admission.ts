/** Descriptions of admission: webhooks and policies. */
import type { TypeDescriptions } from './types.ts';

const failurePolicy =
  'What happens when it cannot be evaluated or reached: `Fail` (default; the request is refused) or `Ignore`.';
const matchConditions = 'CEL expressions, at most 64, all of which must be true for a request to be looked at.';
const reinvocationPolicy = '`Never` (default) or `IfNeeded` (once more, if others changed the object afterwards).';
const matchPolicy = '`Equivalent` (default; other versions of a resource match too) or `Exact`.';
const namespaceSelector =
  'Chooses namespaces by their labels; an empty selector chooses all. Objects without a namespace always match.';
const objectSelector =
  'Chooses objects by their labels; the new or the old object must match. Users can evade it by leaving labels out.';

const webhookFields = {
  name: 'Name of the webhook, a full domain name unique in the configuration.',
  clientConfig: 'How it is reached.',
  rules: 'Operations and resources it is called for.',
  failurePolicy,
  matchPolicy,
  namespaceSelector,
  objectSelector,
  sideEffects: 'Whether calling it has other effects: `None` or `NoneOnDryRun`. Others refuse dry runs.',
  timeoutSeconds: 'Seconds it has to answer, 1 to 30; 10 by default.',
  admissionReviewVersions: 'Versions of AdmissionReview it understands, the best first.',
  matchConditions,
};

export const admission = (): TypeDescriptions => ({
  MutatingWebhookConfiguration: {
    '': 'Webhooks that may change objects before they are stored.',
    webhooks: 'The webhooks.',
  },
  ValidatingWebhookConfiguration: { '': 'Webhooks that may refuse requests.', webhooks: 'The webhooks.' },
  MutatingWebhook: { '': 'A webhook that may change objects.', ...webhookFields, reinvocationPolicy },
  ValidatingWebhook: { '': 'A webhook that may refuse requests.', ...webhookFields },
  WebhookClientConfig: {
    '': 'How a webhook is reached. Exactly one of URL and service is set.',
    url: 'Its https address. Not with credentials, query or fragment.',
    service: 'A service of the cluster.',
    caBundle: 'Certificates of authorities that its certificate is checked by, in PEM; those of the system if absent.',
  },
  ServiceReference: {
    '': 'A service of the cluster.',
    namespace: 'Namespace of the service.',
    name: 'Name of the service.',
    path: 'Path of the requests.',
    port: 'Port of the service; 443 by default.',
  },
  MatchCondition: {
    '': 'A CEL expression that a request must fulfil.',
    name: 'Name of the condition, unique in its list.',
    expression: 'The expression; it knows `object`, `oldObject`, `request` and `authorizer`.',
  },
  Rule: {
    '': 'A set of resources.',
    apiGroups: 'Their groups; `*` for all.',
    apiVersions: 'Their versions; `*` for all.',
    resources: 'Their names, such as `pods`, `pods/log` or `pods/*`; `*` for all without subresources, `*/*` for all.',
    scope: '`Cluster`, `Namespaced` or `*` (default).',
  },
  RuleWithOperations: {
    '': 'Operations on a set of resources.',
    operations: '`CREATE`, `UPDATE`, `DELETE`, `CONNECT` or `*`.',
  },
  NamedRuleWithOperations: {
    '': 'Operations on a set of objects.',
    resourceNames: 'Only objects of these names; all if empty.',
  },
  MatchResources: {
    '': 'Which requests a policy is for: all that a rule includes and no rule excludes.',
    namespaceSelector,
    objectSelector,
    resourceRules: 'Operations and resources that are included.',
    excludeResourceRules: 'Operations and resources that are left out, whatever is included.',
    matchPolicy,
  },
  ParamKind: { '': 'Kind of the parameters of a policy.', apiVersion: 'Group and version.', kind: 'The kind.' },
  ParamRef: {
    '': 'Names the parameters of a policy: one object, or all that a selector chooses.',
    name: 'Name of the object. Not together with `selector`.',
    namespace: 'Namespace in which they are looked for; that of the object admitted if absent.',
    selector: 'Chooses objects by their labels; the policy is applied with each.',
    parameterNotFoundAction: 'What happens when there are none: `Allow` or `Deny` (by the failure policy).',
  },
  Variable: {
    '': 'A value that other expressions know as `variables.<name>`.',
    name: 'Its name.',
    expression: 'CEL expression of the value.',
  },
  ValidatingAdmissionPolicy: { '': 'Rules in CEL that requests must fulfil. It acts where a binding says so.' },
  ValidatingAdmissionPolicySpec: {
    '': 'The rules, and which requests they are for.',
    paramKind: 'Kind of the parameters; none if absent.',
    matchConstraints: 'Requests it is for. Required.',
    validations: 'The rules. These or audit annotations must be there.',
    failurePolicy,
    auditAnnotations: 'What is noted in the audit event.',
    matchConditions,
    variables: 'Values for the other expressions, each of which may use those before it.',
  },
  Validation: {
    '': 'A rule.',
    expression:
      'CEL expression that must be true; it knows `object`, `oldObject`, `request`, `params`, `namespaceObject`, `variables` and `authorizer`.',
    message: 'What is said when it is not. Required if the expression has several lines.',
    reason: 'Kind of refusal: `Unauthorized`, `Forbidden`, `Invalid` (default) or `RequestEntityTooLarge`.',
    messageExpression: 'CEL expression of the message; `message` if it cannot be evaluated.',
  },
  AuditAnnotation: {
    '': 'Something noted in the audit event.',
    key: 'Last part of the key; the name of the policy comes before it.',
    valueExpression: 'CEL expression of the value; nothing is noted for null or an empty text.',
  },
  ValidatingAdmissionPolicyStatus: {
    '': 'What was found about the policy.',
    observedGeneration: 'Value of `metadata.generation` that the status is about.',
    typeChecking: 'Expressions that do not fit the types.',
    conditions: 'The aspects of its state.',
  },
  TypeChecking: { '': 'Expressions that do not fit the types.', expressionWarnings: 'What was found.' },
  ExpressionWarning: {
    '': 'An expression that does not fit the types.',
    fieldRef: 'Path of the expression.',
    warning: 'What does not fit.',
  },
  ValidatingAdmissionPolicyBinding: { '': 'Puts a policy into force, with parameters, for certain requests.' },
  ValidatingAdmissionPolicyBindingSpec: {
    '': 'Which policy, with what, and for which requests.',
    policyName: 'Name of the ValidatingAdmissionPolicy. Required.',
    paramRef: 'Its parameters.',
    matchResources: 'Narrows down the requests of the policy.',
    validationActions: 'What a broken rule does: `Deny`, `Warn`, `Audit`. Required; not `Deny` and `Warn` together.',
  },
  MutatingAdmissionPolicy: { '': 'Changes in CEL to objects before they are stored. It acts where a binding says so.' },
  MutatingAdmissionPolicySpec: {
    '': 'The changes, and which requests they are for.',
    paramKind: 'Kind of the parameters; none if absent.',
    matchConstraints: 'Requests it is for. Required.',
    variables: 'Values for the other expressions, each of which may use those before it.',
    mutations: 'The changes, in order.',
    failurePolicy,
    matchConditions,
    reinvocationPolicy: '`Never`, or `IfNeeded` (once more, if others changed the object afterwards). Required.',
  },
  Mutation: {
    '': 'A change.',
    patchType: 'Which of the two is set: `ApplyConfiguration` or `JSONPatch`.',
    applyConfiguration: 'Change by an apply configuration.',
    jsonPatch: 'Change by a JSON patch.',
  },
  ApplyConfiguration: {
    '': 'A change as with server-side apply.',
    expression: 'CEL expression of the fields to set, of the form `Object{...}`.',
  },
  JSONPatch: {
    '': 'A change by a JSON patch (RFC 6902).',
    expression: 'CEL expression of a list of `JSONPatch{op: ..., path: ..., value: ...}`.',
  },
  MutatingAdmissionPolicyBinding: { '': 'Puts a policy into force, with parameters, for certain requests.' },
  MutatingAdmissionPolicyBindingSpec: {
    '': 'Which policy, with what, and for which requests.',
    policyName: 'Name of the MutatingAdmissionPolicy. Required.',
    paramRef: 'Its parameters.',
    matchResources: 'Narrows down the requests of the policy.',
  },
});
