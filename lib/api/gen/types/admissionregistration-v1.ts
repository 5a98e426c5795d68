// Made by tools/generate-api.ts from the fact tables; do not edit.
import type * as metav1 from './meta-v1.ts';

export interface ApplyConfiguration {
  expression?: string | undefined;
}
export interface AuditAnnotation {
  key: string;
  valueExpression: string;
}
export interface ExpressionWarning {
  fieldRef: string;
  warning: string;
}
export type FailurePolicyType = string;
export interface JSONPatch {
  expression?: string | undefined;
}
export interface MatchCondition {
  name: string;
  expression: string;
}
export type MatchPolicyType = string;
export interface MatchResources {
  namespaceSelector?: metav1.LabelSelector | undefined;
  objectSelector?: metav1.LabelSelector | undefined;
  resourceRules?: NamedRuleWithOperations[] | undefined;
  excludeResourceRules?: NamedRuleWithOperations[] | undefined;
  matchPolicy?: MatchPolicyType | undefined;
}
export interface MutatingAdmissionPolicy {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: MutatingAdmissionPolicySpec;
}
export interface MutatingAdmissionPolicyBinding {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: MutatingAdmissionPolicyBindingSpec;
}
export interface MutatingAdmissionPolicyBindingList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: MutatingAdmissionPolicyBinding[];
}
export interface MutatingAdmissionPolicyBindingSpec {
  policyName?: string | undefined;
  paramRef?: ParamRef | undefined;
  matchResources?: MatchResources | undefined;
}
export interface MutatingAdmissionPolicyList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: MutatingAdmissionPolicy[];
}
export interface MutatingAdmissionPolicySpec {
  paramKind?: ParamKind | undefined;
  matchConstraints?: MatchResources | undefined;
  variables?: Variable[] | undefined;
  mutations?: Mutation[] | undefined;
  failurePolicy?: FailurePolicyType | undefined;
  matchConditions?: MatchCondition[] | undefined;
  reinvocationPolicy?: ReinvocationPolicyType | undefined;
}
export interface MutatingWebhook {
  name: string;
  clientConfig: WebhookClientConfig;
  rules?: RuleWithOperations[] | undefined;
  failurePolicy?: FailurePolicyType | undefined;
  matchPolicy?: MatchPolicyType | undefined;
  namespaceSelector?: metav1.LabelSelector | undefined;
  objectSelector?: metav1.LabelSelector | undefined;
  sideEffects?: SideEffectClass | undefined;
  timeoutSeconds?: number | undefined;
  admissionReviewVersions: string[];
  reinvocationPolicy?: ReinvocationPolicyType | undefined;
  matchConditions?: MatchCondition[] | undefined;
}
export interface MutatingWebhookConfiguration {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  webhooks?: MutatingWebhook[] | undefined;
}
export interface MutatingWebhookConfigurationList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: MutatingWebhookConfiguration[];
}
export interface Mutation {
  patchType: PatchType;
  applyConfiguration?: ApplyConfiguration | undefined;
  jsonPatch?: JSONPatch | undefined;
}
export interface NamedRuleWithOperations extends RuleWithOperations {
  resourceNames?: string[] | undefined;
}
export type OperationType = string;
export interface ParamKind {
  apiVersion?: string | undefined;
  kind?: string | undefined;
}
export interface ParamRef {
  name?: string | undefined;
  namespace?: string | undefined;
  selector?: metav1.LabelSelector | undefined;
  parameterNotFoundAction?: ParameterNotFoundActionType | undefined;
}
export type ParameterNotFoundActionType = string;
export type PatchType = string;
export type ReinvocationPolicyType = string;
export interface Rule {
  apiGroups?: string[] | undefined;
  apiVersions?: string[] | undefined;
  resources?: string[] | undefined;
  scope?: ScopeType | undefined;
}
export interface RuleWithOperations extends Rule {
  operations?: OperationType[] | undefined;
}
export type ScopeType = string;
export interface ServiceReference {
  namespace: string;
  name: string;
  path?: string | undefined;
  port?: number | undefined;
}
export type SideEffectClass = string;
export interface TypeChecking {
  expressionWarnings?: ExpressionWarning[] | undefined;
}
export interface ValidatingAdmissionPolicy {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: ValidatingAdmissionPolicySpec;
  status?: ValidatingAdmissionPolicyStatus | undefined;
}
export interface ValidatingAdmissionPolicyBinding {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  spec: ValidatingAdmissionPolicyBindingSpec;
}
export interface ValidatingAdmissionPolicyBindingList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: ValidatingAdmissionPolicyBinding[];
}
export interface ValidatingAdmissionPolicyBindingSpec {
  policyName?: string | undefined;
  paramRef?: ParamRef | undefined;
  matchResources?: MatchResources | undefined;
  validationActions?: ValidationAction[] | undefined;
}
export type ValidatingAdmissionPolicyConditionType = string;
export interface ValidatingAdmissionPolicyList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: ValidatingAdmissionPolicy[];
}
export interface ValidatingAdmissionPolicySpec {
  paramKind?: ParamKind | undefined;
  matchConstraints?: MatchResources | undefined;
  validations?: Validation[] | undefined;
  failurePolicy?: FailurePolicyType | undefined;
  auditAnnotations?: AuditAnnotation[] | undefined;
  matchConditions?: MatchCondition[] | undefined;
  variables?: Variable[] | undefined;
}
export interface ValidatingAdmissionPolicyStatus {
  observedGeneration?: number | undefined;
  typeChecking?: TypeChecking | undefined;
  conditions?: metav1.Condition[] | undefined;
}
export interface ValidatingWebhook {
  name: string;
  clientConfig: WebhookClientConfig;
  rules?: RuleWithOperations[] | undefined;
  failurePolicy?: FailurePolicyType | undefined;
  matchPolicy?: MatchPolicyType | undefined;
  namespaceSelector?: metav1.LabelSelector | undefined;
  objectSelector?: metav1.LabelSelector | undefined;
  sideEffects?: SideEffectClass | undefined;
  timeoutSeconds?: number | undefined;
  admissionReviewVersions: string[];
  matchConditions?: MatchCondition[] | undefined;
}
export interface ValidatingWebhookConfiguration {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
  webhooks?: ValidatingWebhook[] | undefined;
}
export interface ValidatingWebhookConfigurationList {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: ValidatingWebhookConfiguration[];
}
export interface Validation {
  expression: string;
  message?: string | undefined;
  reason?: metav1.StatusReason | undefined;
  messageExpression?: string | undefined;
}
export type ValidationAction = string;
export interface Variable {
  name: string;
  expression: string;
}
export interface WebhookClientConfig {
  url?: string | undefined;
  service?: ServiceReference | undefined;
  caBundle?: string | undefined;
}
