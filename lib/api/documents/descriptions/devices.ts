/** Descriptions of the resource group: devices that pods claim (dynamic resource allocation). */
import type { TypeDescriptions } from './types.ts';

const deviceClassName = 'DeviceClass whose devices are asked for. Required.';
const selectors = 'Further requirements, all of which a device must fulfil.';
const allocationMode = '`ExactCount` (default) or `All` matching devices of a pool.';
const count = 'How many devices; 1 by default. Only for `ExactCount`.';
const tolerations = 'Taints of devices that are put up with.';
const capacity = 'How much of the capacity of each device is needed.';
const nodeName = 'The one node from which the devices can be reached.';
const nodeSelector = 'Nodes from which the devices can be reached.';
const allNodes = 'Every node can reach the devices.';
const bindingConditions = 'Conditions of the device that must be true before a pod is bound.';
const bindingFailureConditions = 'Conditions of the device of which any ends the attempt to bind a pod.';

export const devices = (): TypeDescriptions => ({
  ResourceClaim: { '': 'Asks for devices that pods use.' },
  ResourceClaimSpec: { '': 'What is asked for. It cannot be changed.', devices: 'Devices asked for.' },
  ResourceClaimTemplate: { '': 'What ResourceClaims made for single pods look like.' },
  ResourceClaimTemplateSpec: {
    '': 'What claims made from a template look like. It cannot be changed.',
    metadata: 'Labels and annotations that the claims get.',
    spec: 'The spec of the claims.',
  },
  DeviceClaim: {
    '': 'Devices asked for.',
    requests: 'Requests, all of which must be met.',
    constraints: 'What the devices must have in common or not.',
    config: 'Settings for drivers.',
  },
  DeviceRequest: {
    '': 'A request for devices. Exactly one of the two kinds is set.',
    name: 'Name of the request, by which containers refer to it.',
    exactly: 'One way to meet it.',
    firstAvailable: 'Several ways to meet it, the best first.',
  },
  ExactDeviceRequest: {
    '': 'Devices of a class, and how many.',
    deviceClassName,
    selectors,
    allocationMode,
    count,
    adminAccess:
      'Access for administration, whether the devices are in use or not. Only in namespaces that are labelled for it.',
    tolerations,
    capacity,
  },
  DeviceSubRequest: {
    '': 'One of several ways to meet a request.',
    name: 'Name of the way, referred to as `<request>/<name>`.',
    deviceClassName,
    selectors,
    allocationMode,
    count,
    tolerations,
    capacity,
  },
  CapacityRequirements: {
    '': 'How much capacity is needed.',
    requests: 'By name of the capacity. A device has to have that much left.',
  },
  DeviceSelector: { '': 'A requirement on a device.', cel: 'In CEL.' },
  CELDeviceSelector: {
    '': 'A requirement on a device in CEL.',
    expression: 'Expression that must be true; `device` has driver, attributes and capacity.',
  },
  DeviceConstraint: {
    '': 'What devices must have in common or not.',
    requests: 'Requests it is for; all if empty.',
    matchAttribute: 'Attribute that must be there and equal.',
    distinctAttribute: 'Attribute that must be there and different.',
  },
  DeviceConfiguration: { '': 'Settings of a device.', opaque: 'Settings that only a driver understands.' },
  OpaqueDeviceConfiguration: {
    '': 'Settings that only a driver understands.',
    driver: 'Name of the driver.',
    parameters: 'The settings, an object with apiVersion and kind.',
  },
  DeviceClaimConfiguration: {
    '': 'Settings for requests of a claim.',
    requests: 'Requests they are for; all if empty.',
  },
  DeviceClassConfiguration: { '': 'Settings for devices of a class.' },
  DeviceAllocationConfiguration: {
    '': 'Settings of an allocation.',
    source: 'Where they come from: `FromClass` or `FromClaim`.',
    requests: 'Requests they are for; all if empty.',
  },
  ResourceClaimStatus: {
    '': 'What was allocated, and for whom.',
    allocation: 'What was allocated; absent: nothing.',
    reservedFor: 'Who may use it, at most 256; mostly pods.',
    devices: 'What drivers say of the devices.',
  },
  ResourceClaimConsumerReference: {
    '': 'Who may use a claim.',
    apiGroup: 'Group of the object; the core group if empty.',
    resource: 'Resource of the object, such as `pods`.',
    name: 'Name of the object.',
    uid: 'Identity of the object.',
  },
  AllocationResult: {
    '': 'What was allocated.',
    devices: 'The devices.',
    nodeSelector: 'Nodes from which all of them can be reached; all nodes if absent.',
    allocationTimestamp: 'When it was allocated.',
  },
  DeviceAllocationResult: {
    '': 'The devices of an allocation.',
    results: 'The devices.',
    config: 'Settings for them, of the class and the claim.',
  },
  DeviceRequestAllocationResult: {
    '': 'A device that was allocated.',
    request: 'Request that it meets, possibly `<request>/<sub-request>`.',
    driver: 'Driver of the device.',
    pool: 'Pool of the device.',
    device: 'Name of the device in the pool.',
    adminAccess: 'It was allocated for administration.',
    tolerations: 'Tolerations of the request at that time.',
    bindingConditions,
    bindingFailureConditions,
    shareID: 'Which share of a device that several claims may use.',
    consumedCapacity: 'How much of its capacity the claim uses.',
  },
  AllocatedDeviceStatus: {
    '': 'What a driver says of an allocated device.',
    driver: 'Driver of the device.',
    pool: 'Pool of the device.',
    device: 'Name of the device in the pool.',
    shareID: 'Which share of the device.',
    conditions: 'The aspects of its state, at most 8.',
    data: 'Further data of the driver.',
    networkData: 'For network devices.',
  },
  NetworkDeviceData: {
    '': 'What is known of a network device in a pod.',
    interfaceName: 'Name of the interface.',
    ips: 'Its addresses with prefix length.',
    hardwareAddress: 'Its hardware address.',
  },
  DeviceClass: { '': 'A kind of device that claims can ask for by name.' },
  DeviceClassSpec: {
    '': 'Which devices belong to the class.',
    selectors: 'Requirements, all of which a device must fulfil.',
    config: 'Settings for devices of the class.',
    extendedResourceName: 'Extended resource by which pods can ask for devices of the class.',
  },
  ResourceSlice: { '': 'Devices that a driver has to offer.' },
  ResourceSliceSpec: {
    '': 'The devices, and from where they can be reached. Exactly one of the ways to name nodes is set.',
    driver: 'Driver that offers them. It cannot be changed.',
    pool: 'Pool that the slice is a part of.',
    nodeName,
    nodeSelector,
    allNodes,
    devices: 'The devices, at most 128.',
    perDeviceNodeSelection: 'Each device says itself from where it can be reached.',
    sharedCounters: 'Sets of counters that devices of the pool draw on together.',
  },
  ResourcePool: {
    '': 'A pool of devices, in one or several slices.',
    name: 'Name of the pool.',
    generation: 'Number that grows with each change; only slices of the highest count.',
    resourceSliceCount: 'How many slices the pool has; with fewer it is not complete.',
  },
  Device: {
    '': 'A device.',
    name: 'Name of the device in the pool.',
    attributes: 'What is known of it, for selectors.',
    capacity: 'What it has how much of.',
    consumesCounters: 'What it takes from shared counters.',
    nodeName,
    nodeSelector,
    allNodes,
    taints: 'Marks that keep away claims which do not tolerate them.',
    bindsToNode: 'Once allocated it belongs to the node that the pod was placed on.',
    bindingConditions,
    bindingFailureConditions,
    allowMultipleAllocations: 'Several claims may use it, each a part of its capacity.',
    nodeAllocatableResourceMappings: 'Resources of the node that it takes with it.',
  },
  NodeAllocatableResourceMapping: {
    '': 'How much of a resource of the node a device takes.',
    capacityKey: 'Capacity of the device that says how much.',
    allocationMultiplier: 'Factor for that, or for the number of devices if there is no key; 1 by default.',
  },
  DeviceAttribute: {
    '': 'A value of one type. Exactly one is set.',
    int: 'A whole number.',
    bool: 'True or false.',
    string: 'A text of at most 64 characters.',
    version: 'A semantic version.',
    ints: 'Whole numbers.',
    bools: 'True or false, several times.',
    strings: 'Texts.',
    versions: 'Semantic versions.',
  },
  DeviceCapacity: {
    '': 'What a device has how much of.',
    value: 'How much.',
    requestPolicy: 'How it may be divided among claims.',
  },
  CapacityRequestPolicy: {
    '': 'How a capacity may be divided among claims. At most one of values and range is set.',
    default: 'What a claim gets that asks for nothing.',
    validValues: 'Amounts that can be had; others are rounded up.',
    validRange: 'Range of amounts that can be had.',
  },
  CapacityRequestPolicyRange: {
    '': 'A range of amounts.',
    min: 'The least.',
    max: 'The most.',
    step: 'Steps from the least upwards; others are rounded up.',
  },
  CounterSet: {
    '': 'Counters that devices draw on together.',
    name: 'Name of the set.',
    counters: 'The counters by name.',
  },
  Counter: { '': 'Something there is only so much of.', value: 'How much.' },
  DeviceCounterConsumption: {
    '': 'What a device takes from a set of counters.',
    counterSet: 'Name of the set.',
    counters: 'How much of each counter.',
  },
  DeviceTaint: {
    '': 'A mark on a device that keeps away claims which do not tolerate it.',
    key: 'Key of the taint.',
    value: 'Value of the taint.',
    effect: '`NoSchedule` (no new use), `NoExecute` (pods that use it are evicted too) or `None` (no effect).',
    timeAdded: 'When it was set.',
  },
  DeviceToleration: {
    '': 'A taint, or a set of taints, that a claim puts up with.',
    key: 'Key of the taint; empty with `Exists` stands for every key.',
    operator: '`Equal` (default) or `Exists`.',
    value: 'Value of the taint; empty with `Exists`.',
    effect: 'Effect of the taint; empty stands for all.',
    tolerationSeconds: 'For `NoExecute`: how long pods may stay. Absent: for ever.',
  },
});
