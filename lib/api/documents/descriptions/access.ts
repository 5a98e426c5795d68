/** Descriptions of who is who and who may do what: rbac, authentication, authorization, certificates. */
import type { TypeDescriptions } from './types.ts';

export const rbac = (): TypeDescriptions => ({
  Role: { '': 'Rights within one namespace.', rules: 'The rights.' },
  ClusterRole: {
    '': 'Rights in the whole cluster, or, bound by a RoleBinding, in one namespace.',
    rules: 'The rights.',
    aggregationRule:
      'Makes `rules` the sum of the rules of other ClusterRoles; what is written there by hand is overwritten.',
  },
  AggregationRule: {
    '': 'Which ClusterRoles are added up.',
    clusterRoleSelectors: 'Chooses them by their labels; one selector must match.',
  },
  PolicyRule: {
    '': 'Rights: what may be done to what. Rules only ever add rights.',
    verbs: 'What may be done, such as `get`, `list`, `create`; `*` for everything.',
    apiGroups: 'Groups of the resources; the core group is the empty text, `*` stands for all.',
    resources: 'Resources, such as `pods` or `pods/log`; `*` for all, `*/scale` for one subresource of all.',
    resourceNames: 'Only objects of these names; all if empty. Of no use for creating.',
    nonResourceURLs:
      'Paths that are no resources, such as `/healthz` or `/logs/*`. Only for ClusterRoles, bound in the whole cluster.',
  },
  RoleBinding: {
    '': 'Gives the rights of a role to subjects, within one namespace.',
    subjects: 'Who gets the rights.',
    roleRef: 'The Role of this namespace, or a ClusterRole. It cannot be changed.',
  },
  ClusterRoleBinding: {
    '': 'Gives the rights of a ClusterRole to subjects, in the whole cluster.',
    subjects: 'Who gets the rights.',
    roleRef: 'The ClusterRole. It cannot be changed.',
  },
  RoleRef: {
    '': 'Names a role.',
    apiGroup: 'Group of the role: `rbac.authorization.k8s.io`.',
    kind: '`Role` or `ClusterRole`.',
    name: 'Name of the role.',
  },
  Subject: {
    '': 'A user, a group or a service account.',
    kind: '`User`, `Group` or `ServiceAccount`.',
    apiGroup: 'Empty for service accounts, `rbac.authorization.k8s.io` for the others; filled in if absent.',
    name: 'Name of the subject.',
    namespace: 'Namespace of a service account; empty for the others.',
  },
});

export const authentication = (): TypeDescriptions => ({
  TokenReview: { '': 'Asks whether a token is valid and whose it is. It is answered, not stored.' },
  TokenReviewSpec: {
    '': 'The question.',
    token: 'The token.',
    audiences: 'For whom the token must be, one of these; the API server if empty.',
  },
  TokenReviewStatus: {
    '': 'The answer.',
    authenticated: 'The token is valid.',
    user: 'Whose it is.',
    audiences: 'Those of the audiences asked for that the token is meant for.',
    error: 'Why it could not be found out.',
  },
  UserInfo: {
    '': 'A user as the API server knows it.',
    username: 'Name of the user.',
    uid: 'Identity of the user.',
    groups: 'Groups of the user.',
    extra: 'Further facts from the authenticator.',
  },
  TokenRequest: { '': 'Asks for a token of a service account. Posted to its `token` subresource.' },
  TokenRequestSpec: {
    '': 'What token is asked for.',
    audiences: 'For whom the token is; the API server if empty.',
    expirationSeconds: 'How long it shall be valid; an hour by default, ten minutes at least.',
    boundObjectRef: 'Object with which the token becomes invalid: a Pod, Secret or Node.',
  },
  BoundObjectReference: {
    '': 'Names the object a token is bound to.',
    kind: '`Pod`, `Secret` or `Node`.',
    apiVersion: 'Version of the object: `v1`.',
    name: 'Name of the object.',
    uid: 'Identity of the object.',
  },
  TokenRequestStatus: { '': 'The answer.', token: 'The token.', expirationTimestamp: 'When it expires.' },
  SelfSubjectReview: { '': 'Asks who one is to the API server. It is answered, not stored.' },
  SelfSubjectReviewStatus: { '': 'The answer.', userInfo: 'The user one is.' },
});

export const authorization = (): TypeDescriptions => ({
  SubjectAccessReview: { '': 'Asks whether someone may do something. It is answered, not stored.' },
  SelfSubjectAccessReview: { '': 'Asks whether one may do something oneself. It is answered, not stored.' },
  LocalSubjectAccessReview: {
    '': 'Asks whether someone may do something in one namespace. It is answered, not stored.',
  },
  SelfSubjectRulesReview: {
    '': 'Asks what one may do in a namespace. It is answered, not stored, and no ground for a decision.',
  },
  SubjectAccessReviewSpec: {
    '': 'The question: who, and what. Exactly one of the two kinds of attributes is set.',
    resourceAttributes: 'A request for a resource.',
    nonResourceAttributes: 'A request for a path that is no resource.',
    user: 'Name of the user. User or groups must be given.',
    groups: 'Groups of the user.',
    extra: 'Further facts about the user.',
    uid: 'Identity of the user.',
  },
  SelfSubjectAccessReviewSpec: {
    '': 'The question. Exactly one is set.',
    resourceAttributes: 'A request for a resource.',
    nonResourceAttributes: 'A request for a path that is no resource.',
  },
  SelfSubjectRulesReviewSpec: { '': 'The question.', namespace: 'The namespace. Required.' },
  ResourceAttributes: {
    '': 'A request for a resource.',
    namespace: 'Namespace; empty for all, or for kinds without namespaces.',
    verb: 'What is done, such as `get`; `*` for everything.',
    group: 'Group of the resource; `*` for all.',
    version: 'Version of the resource; `*` for all.',
    resource: 'The resource; `*` for all.',
    subresource: 'The subresource; empty for none.',
    name: 'Name of the object; empty for all.',
    fieldSelector: 'Field selector of the request.',
    labelSelector: 'Label selector of the request.',
  },
  FieldSelectorAttributes: {
    '': 'A field selector, as text or parsed.',
    rawSelector: 'As text of a query. Not together with `requirements`.',
    requirements: 'Parsed; all must hold.',
  },
  LabelSelectorAttributes: {
    '': 'A label selector, as text or parsed.',
    rawSelector: 'As text of a query. Not together with `requirements`.',
    requirements: 'Parsed; all must hold.',
  },
  NonResourceAttributes: {
    '': 'A request for a path that is no resource.',
    path: 'The path.',
    verb: 'Method, in lower case.',
  },
  SubjectAccessReviewStatus: {
    '': 'The answer.',
    allowed: 'It is allowed.',
    denied: 'It is expressly denied: nobody else is asked.',
    reason: 'Why, for people.',
    evaluationError: 'What went wrong while finding out. It may be allowed all the same.',
  },
  SubjectRulesReviewStatus: {
    '': 'The answer.',
    resourceRules: 'What may be done to resources.',
    nonResourceRules: 'What may be done to other paths.',
    incomplete: 'There may be more, since not every authorizer can tell.',
    evaluationError: 'What went wrong while finding out.',
  },
  ResourceRule: {
    '': 'What may be done to resources.',
    verbs: 'What may be done; `*` for everything.',
    apiGroups: 'Groups of the resources; `*` for all.',
    resources: 'The resources; `*` for all.',
    resourceNames: 'Only objects of these names; all if empty.',
  },
  NonResourceRule: {
    '': 'What may be done to paths that are no resources.',
    verbs: 'Methods; `*` for all.',
    nonResourceURLs: 'The paths; `*` for all.',
  },
});

export const certificates = (): TypeDescriptions => ({
  CertificateSigningRequest: { '': 'Asks a signer for a certificate. It must be approved first.' },
  CertificateSigningRequestSpec: {
    '': 'What is asked for, and by whom. It cannot be changed.',
    request: 'The PKCS#10 request in PEM (and base64).',
    signerName: 'Signer that is asked, such as `kubernetes.io/kube-apiserver-client`.',
    expirationSeconds: 'How long the certificate should be valid; ten minutes at least. The signer may shorten it.',
    usages: 'What the key is to be used for, such as `client auth`.',
    username: 'Who asks. Filled in by the server.',
    uid: 'Identity of who asks. Filled in by the server.',
    groups: 'Groups of who asks. Filled in by the server.',
    extra: 'Further facts about who asks. Filled in by the server.',
  },
  CertificateSigningRequestStatus: {
    '': 'What was decided and signed.',
    conditions: '`Approved`, `Denied` or `Failed`. Decisions are written by the `approval` subresource.',
    certificate: 'The certificate and those between it and the authority, in PEM.',
  },
  CertificateSigningRequestCondition: {
    '': 'A decision about a request.',
    type: '`Approved`, `Denied` or `Failed`.',
    status: '`True` for the first two; they cannot be taken back.',
    lastUpdateTime: 'When it was last written.',
  },
});
