/** Descriptions of meta/v1: what every object, list, error and option bears. */
import type { TypeDescriptions } from './types.ts';

export const meta = (): TypeDescriptions => ({
  TypeMeta: {
    '': 'Says what the object is.',
    apiVersion:
      'Group and version of the form in which the object is written, such as `apps/v1`; the core group has the version alone, `v1`.',
    kind: 'Kind of the object, in CamelCase. It cannot be changed.',
  },
  ObjectMeta: {
    '': 'What every stored object bears beside its own content: its name, labels, owners and the marks of the server.',
    name: 'Name of the object, unique in its namespace (or in the cluster, for kinds without namespaces) among objects of its kind. It cannot be changed.',
    generateName:
      'Prefix of a name that the server makes by adding a random suffix. Used only on creation, and only when `name` is empty.',
    namespace: 'Namespace the object lives in; empty for kinds of the cluster. It cannot be changed.',
    selfLink: 'Deprecated: no longer filled in.',
    uid: 'Identity given by the server on creation. An object deleted and created anew under the same name has another one.',
    resourceVersion:
      'Opaque mark of the stored state. It changes with every write; sent back with an update it guards against overwriting what others changed. Only equality may be tested by clients.',
    generation: 'Number that the server raises whenever the wish (usually `spec`) changes.',
    creationTimestamp: 'When the server created the object. Read-only.',
    deletionTimestamp:
      'When the object is due to go, set by the server on a delete that cannot be done at once: finalizers remain, or the grace period runs. It can be brought forward, never taken back.',
    deletionGracePeriodSeconds:
      'Seconds between the request to delete and `deletionTimestamp`. Read-only; it can only become shorter.',
    labels: 'Keys and values that selectors choose objects by.',
    annotations: 'Keys and values kept for people and tools. They cannot be selected by, and may be large.',
    ownerReferences:
      'Objects this one depends on. When all of them are gone the garbage collector removes this one. At most one may be the controller.',
    finalizers:
      'Names of those who must finish something before the object may vanish. Each removes its own entry; the object goes when the list is empty.',
    managedFields: 'Which manager set which field, kept by the server for server-side apply. Seldom of use to people.',
  },
  OwnerReference: {
    '': 'Names an owner of an object: in the same namespace, or of the cluster.',
    apiVersion: 'Group and version of the owner.',
    kind: 'Kind of the owner.',
    name: 'Name of the owner.',
    uid: 'Identity of the owner; another object of the same name is not the owner.',
    controller: 'True for the one owner that manages the object.',
    blockOwnerDeletion:
      'With foreground deletion the owner stays until this object is gone. Setting it needs the right to change finalizers of the owner.',
  },
  ManagedFieldsEntry: {
    '': 'The fields that one manager set by one kind of operation.',
    manager: 'Name of whoever wrote the fields.',
    operation: 'How they were written: `Apply` (server-side apply) or `Update` (anything else).',
    apiVersion: 'Version in which the field names are to be read.',
    time: 'When this entry was made or its set of fields last changed.',
    fieldsType: 'Form of the set of fields; `FieldsV1` is the only one.',
    fieldsV1: 'The set of fields, as a tree of their names.',
    subresource: 'Subresource through which they were written; empty for the object itself.',
  },
  ListMeta: {
    '': 'What every list bears beside its items.',
    selfLink: 'Deprecated: no longer filled in.',
    resourceVersion: 'State of the store that the list shows; a watch may begin here.',
    continue: 'Opaque token that asks for the next page; empty on the last one. It expires after some minutes.',
    remainingItemCount: 'How many items follow this page. Absent when not known, as with selectors.',
    shardInfo: 'The shard that the list is of, if it was asked for by a shard selector.',
  },
  ShardInfo: { '': 'A shard of a list.', selector: 'The shard selector of the request.' },
  LabelSelector: {
    '': 'Chooses objects by their labels. All requirements must hold; an empty selector chooses everything, an absent one nothing.',
    matchLabels: 'Labels that must be there with exactly these values.',
    matchExpressions: 'Further requirements on labels, all of which must hold.',
  },
  LabelSelectorRequirement: {
    '': 'One requirement on one label.',
    key: 'Key of the label.',
    operator: 'How the label is compared: `In`, `NotIn`, `Exists` or `DoesNotExist`.',
    values: 'Values for `In` and `NotIn`, where there must be at least one; empty for the others.',
  },
  FieldSelectorRequirement: {
    '': 'One requirement on one field.',
    key: 'Path of the field.',
    operator: 'How the field is compared: `In`, `NotIn`, `Exists` or `DoesNotExist`.',
    values: 'Values for `In` and `NotIn`; empty for the others.',
  },
  Condition: {
    '': 'One aspect of the state of an object.',
    type: 'Name of the aspect, in CamelCase; names of vendors bear a prefix such as `example.com/Ready`.',
    status: 'Whether it holds: `True`, `False` or `Unknown`.',
    observedGeneration:
      'Value of `metadata.generation` that this was found for. If it is older than the present one, the condition is out of date.',
    lastTransitionTime: 'When `status` last changed.',
    reason: 'Why, in one CamelCase word for programs.',
    message: 'Why, in words for people.',
  },
  DeleteOptions: {
    '': 'How an object is to be deleted.',
    gracePeriodSeconds:
      'Seconds the object has to end in an orderly way; 0 deletes at once. Absent: what the kind says.',
    preconditions: 'What must be true of the object, else nothing is deleted and the answer is a conflict.',
    orphanDependents:
      'Deprecated: use `propagationPolicy`. True leaves dependents alone. Only one of the two may be set.',
    propagationPolicy:
      'What happens to dependents: `Orphan` leaves them, `Background` deletes them afterwards, `Foreground` deletes them before the object itself goes.',
    dryRun: 'With `All` everything is checked and nothing is stored.',
    ignoreStoreReadErrorWithClusterBreakingPotential:
      'Delete an object even though its stored bytes cannot be read. Finalizers and owners are then not heeded, so this may break what depends on it.',
  },
  Preconditions: {
    '': 'What must be true of the stored object before it is changed.',
    uid: 'Identity that it must have.',
    resourceVersion: 'State that it must be in.',
  },
  Status: {
    '': 'Outcome of a request that does not answer with an object, errors above all.',
    status: '`Success` or `Failure`.',
    message: 'What happened, for people.',
    reason:
      'What kind of failure it is, in one word for programs, such as `NotFound`. It makes the HTTP code more precise.',
    details: 'Which object it is about and what in it was wrong.',
    code: 'HTTP code of the answer.',
  },
  StatusDetails: {
    '': 'What a Status is about.',
    name: 'Name of the object, where there is one.',
    group: 'Group of the resource.',
    kind: 'Kind or resource concerned.',
    uid: 'Identity of the object.',
    causes: 'The single mistakes, each with its field.',
    retryAfterSeconds: 'Seconds to wait before asking again.',
  },
  StatusCause: {
    '': 'One mistake in a request.',
    reason: 'Kind of the mistake, such as `FieldValueRequired`.',
    message: 'What is wrong, for people.',
    field: 'Path of the field, such as `spec.containers[0].image`.',
  },
  WatchEvent: {
    '': 'One change that a watch reports.',
    type: '`ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.',
    object:
      'The object after the change; as it last was for `DELETED`; only its resourceVersion for `BOOKMARK`; a Status for `ERROR`.',
  },
  APIResourceList: {
    '': 'The resources that a group version serves.',
    groupVersion: 'Group and version.',
    resources: 'The resources and their subresources.',
  },
  APIResource: {
    '': 'A resource and what can be done with it.',
    name: 'Plural name as in paths; a subresource follows after a slash.',
    singularName: 'Singular name, for people to type.',
    namespaced: 'Whether its objects live in namespaces.',
    group: 'Group of the objects, where it is not that of the list.',
    version: 'Version of the objects, where it is not that of the list.',
    kind: 'Kind of the objects.',
    verbs: 'What can be done: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.',
    shortNames: 'Short names for people to type.',
    categories: 'Groups of resources it belongs to, such as `all`.',
    storageVersionHash: 'Opaque mark that changes with the version in which the objects are stored.',
  },
  APIGroupList: { '': 'The groups that the server knows.', groups: 'The groups.' },
  APIGroup: {
    '': 'A group and its versions.',
    name: 'Name of the group.',
    versions: 'Versions that are served.',
    preferredVersion: 'Version to take when there is no reason for another.',
    serverAddressByClientCIDRs: 'Addresses by which clients of certain networks reach the server.',
  },
  GroupVersionForDiscovery: {
    '': 'A version of a group.',
    groupVersion: 'Group and version, such as `apps/v1`.',
    version: 'Version alone, such as `v1`.',
  },
  ServerAddressByClientCIDR: {
    '': 'An address of the server for clients of one network.',
    clientCIDR: 'Network of the clients.',
    serverAddress: 'Host and port for them.',
  },
  APIVersions: {
    '': 'The versions of the core group.',
    versions: 'Versions that are served.',
    serverAddressByClientCIDRs: 'Addresses by which clients of certain networks reach the server.',
  },
});
