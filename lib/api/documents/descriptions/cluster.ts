/** Descriptions of small groups of the cluster: scheduling, node, coordination, events, flow control. */
import type { TypeDescriptions } from './types.ts';

export const scheduling = (): TypeDescriptions => ({
  PriorityClass: {
    '': 'A name for a priority that pods may have.',
    value: 'The priority; higher is more important, up to 1000000000. It cannot be changed.',
    globalDefault: 'Pods that name no class get this one. True of one class at most.',
    description: 'What the class is for.',
    preemptionPolicy:
      'Whether pods of lower priority may be evicted to make room: `PreemptLowerPriority` (default) or `Never`. It cannot be changed.',
  },
});

export const nodeGroup = (): TypeDescriptions => ({
  RuntimeClass: {
    '': 'A container runtime, or a configuration of it, that pods may ask for.',
    handler: 'Handler of the runtime on the nodes, a DNS label. It cannot be changed.',
    overhead: 'Resources that the runtime itself needs for each pod.',
    scheduling: 'Nodes that have it.',
  },
  Overhead: { '': 'Resources that a runtime needs itself.', podFixed: 'For each pod.' },
  Scheduling: {
    '': 'Nodes that have a runtime.',
    nodeSelector: 'Labels of these nodes, added to those of the pod; a contradiction refuses the pod.',
    tolerations: 'Tolerations that the pods get.',
  },
});

export const coordination = (): TypeDescriptions => ({
  Lease: { '': 'A claim to something for a time: the lead among several, or the life of a node.' },
  LeaseSpec: {
    '': 'Who holds it, and until when.',
    holderIdentity: 'Who holds it; nobody if empty.',
    leaseDurationSeconds: 'Seconds after the last renewal when others may take it.',
    acquireTime: 'When it was taken by the present holder.',
    renewTime: 'When it was last renewed.',
    leaseTransitions: 'How often it went from one holder to another.',
    strategy: 'How the leader is chosen, in coordinated elections.',
    preferredHolder: 'Who should hold it instead; the holder ends its claim when this is someone else.',
  },
});

export const events = (): TypeDescriptions => ({
  Event: {
    '': 'A report that something happened to an object. Kept for a while only; do not build on it.',
    eventTime: 'When it was first seen. Required.',
    series: 'Repetitions; absent for a single event.',
    reportingController: 'Who reports it, such as `kubernetes.io/kubelet`.',
    reportingInstance: 'Which instance of it.',
    action: 'What was done or failed, in one word.',
    reason: 'Why, in one CamelCase word.',
    regarding: 'The object it is about.',
    related: 'Another object that has to do with it.',
    note: 'What happened, for people; at most a kilobyte.',
    type: '`Normal` or `Warning`.',
    deprecatedSource: 'Deprecated: who reports it, in core/v1.',
    deprecatedFirstTimestamp: 'Deprecated: when it was first seen, in core/v1.',
    deprecatedLastTimestamp: 'Deprecated: when it was last seen, in core/v1.',
    deprecatedCount: 'Deprecated: how often it was seen, in core/v1.',
  },
  EventSeries: {
    '': 'Repetitions of an event.',
    count: 'How often it happened.',
    lastObservedTime: 'When it was last seen.',
  },
});

export const flowcontrol = (): TypeDescriptions => ({
  FlowSchema: { '': 'Sorts requests to the API server into flows and gives them a priority level.' },
  FlowSchemaSpec: {
    '': 'Which requests, and what becomes of them.',
    priorityLevelConfiguration: 'Priority level of the requests.',
    matchingPrecedence: 'Order in which schemas are tried: the lowest first, from 1 to 10000; 1000 by default.',
    distinguisherMethod: 'How the requests are divided into flows; all are one flow if absent.',
    rules: 'Requests it is for: those that any rule matches.',
  },
  PriorityLevelConfigurationReference: { '': 'Names a priority level.', name: 'Its name.' },
  FlowDistinguisherMethod: { '': 'How requests are divided into flows.', type: '`ByUser` or `ByNamespace`.' },
  PolicyRulesWithSubjects: {
    '': 'Requests of certain subjects for certain things.',
    subjects: 'The subjects, one of which must match.',
    resourceRules: 'Resources.',
    nonResourceRules: 'Paths that are no resources.',
  },
  Subject: {
    '': 'A user, a group or a service account.',
    kind: 'Which of the following is set: `User`, `Group` or `ServiceAccount`.',
    user: 'A user.',
    group: 'A group.',
    serviceAccount: 'A service account.',
  },
  UserSubject: { '': 'A user.', name: 'Name of the user; `*` for all.' },
  GroupSubject: { '': 'A group.', name: 'Name of the group; `*` for all.' },
  ServiceAccountSubject: {
    '': 'A service account.',
    namespace: 'Its namespace.',
    name: 'Its name; `*` for all of the namespace.',
  },
  ResourcePolicyRule: {
    '': 'Requests for resources.',
    verbs: 'Verbs; `*` for all.',
    apiGroups: 'Groups; `*` for all.',
    resources: 'Resources; `*` for all.',
    clusterScope: 'Requests without a namespace match too.',
    namespaces: 'Namespaces; `*` for all.',
  },
  NonResourcePolicyRule: {
    '': 'Requests for paths that are no resources.',
    verbs: 'Methods in lower case; `*` for all.',
    nonResourceURLs: 'Paths; `*` at the end of one stands for anything.',
  },
  FlowSchemaStatus: { '': 'State of a flow schema.', conditions: 'The aspects of its state: Dangling.' },
  FlowSchemaCondition: { '': 'One aspect of the state of a flow schema.' },
  PriorityLevelConfiguration: { '': 'A share of what the API server can do at once.' },
  PriorityLevelConfigurationSpec: {
    '': 'How requests of the level are treated.',
    type: '`Exempt` (never held up) or `Limited`.',
    limited: 'Settings of `Limited`.',
    exempt: 'Settings of `Exempt`.',
  },
  LimitedPriorityLevelConfiguration: {
    '': 'A level with a bound.',
    nominalConcurrencyShares: 'Its share of the seats, in proportion to those of the other levels; 30 by default.',
    limitResponse: 'What happens to requests for which there is no seat.',
    lendablePercent: 'How much of its seats other levels may borrow; 0 by default.',
    borrowingLimitPercent: 'How much it may borrow from others, in percent of its own seats; no bound if absent.',
  },
  ExemptPriorityLevelConfiguration: {
    '': 'A level without a bound.',
    nominalConcurrencyShares: 'Seats that are kept for it; 0 by default.',
    lendablePercent: 'How much of them other levels may borrow; 0 by default.',
  },
  LimitResponse: {
    '': 'What happens to requests for which there is no seat.',
    type: '`Queue` or `Reject` (with 429).',
    queuing: 'Settings of `Queue`.',
  },
  QueuingConfiguration: {
    '': 'The queues of a level.',
    queues: 'How many queues; 64 by default.',
    handSize: 'Among how many queues a flow chooses the shortest; 8 by default.',
    queueLengthLimit: 'The most requests in a queue; 50 by default. Further ones are rejected.',
  },
  PriorityLevelConfigurationStatus: { '': 'State of a priority level.', conditions: 'The aspects of its state.' },
  PriorityLevelConfigurationCondition: { '': 'One aspect of the state of a priority level.' },
});
