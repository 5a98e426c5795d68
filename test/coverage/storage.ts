/** Lines 3 and 5: images and volumes. */
import { type Line, none, real, unit } from './clause.ts';

const IMAGES = 'test/integration/images.test.ts';
const REGISTRIES = 'test/integration/registries.test.ts';
const MOUNTS = 'test/integration/volumes.test.ts';
const VOLUMES = 'agent/volumes/volumes.test.ts';
const CLAIMS = 'test/e2e/claims.test.ts';
const CLAIM_VOLUMES = 'agent/volumes/claim-volumes.test.ts';
const IMAGE_VOLUMES = 'test/e2e/image-volumes.test.ts';
const AT_REST = 'test/node/secrets-at-rest.test.ts';
const PRIVATE = 'test/node/private-images.test.ts';
const CSI = 'test/node/csi.test.ts';
const PULLS = 'test/node/images.test.ts';
const PROGRAMS = 'test/node/volumes.test.ts';
const HOST = 'test/node/host.test.ts';
const TOKENS = 'test/e2e/service-account.test.ts';

export const IMAGE_LINE: Line = {
  title: '3 Images',
  clauses: [
    real('imagePullPolicy Never', [
      [PULLS, 'IfNotPresent asks the registry once'],
      [IMAGE_VOLUMES, 'a pull that fails keeps the container waiting'],
    ]),
    real('imagePullPolicy Always, IfNotPresent', [[PULLS, 'IfNotPresent asks the registry once']]),
    real('pull secrets: dockerconfigjson', [[PULLS, 'pull secrets: the right one among others']], {
      note: 'the best of those that are for the registry is tried, not each of them as by the kubelet',
    }),
    real('a private image is for who has shown that he may have it (KEP-2535)', [
      [PRIVATE, 'who has none or a wrong secret is refused'],
      [PRIVATE, 'the next agent knows it too'],
    ]),
    real('credentials per registry', [[REGISTRIES, 'credentials go to the place they are for']]),
    real('HTTP(S)_PROXY', [[REGISTRIES, 'https goes through the proxy by CONNECT']]),
    real('extra CAs', [
      [REGISTRIES, 'an authority of our own, by hosts.toml'],
      [REGISTRIES, 'Docker’s form of an authority without a hosts.toml'],
    ]),
    real('ImagePullBackOff', [
      ['test/e2e/registry.test.ts', 'an image that does not exist: reason, event'],
      [IMAGE_VOLUMES, 'a pull that fails keeps the container waiting'],
    ]),
    real('ImagePullBackOff: the curve', [[PULLS, 'one that fails is tried again after 10 s']], {
      note: 'its first two waits; the doubling up to five minutes is shown for containers alone',
    }),
    real('parallel pulls', [[PULLS, 'three images come side by side']]),
    real('single flight', [[PULLS, 'six pods of one image pull it once']]),
    real('progress seen as events', [[PULLS, 'a pull that lasts tells how far it is']]),
    real(
      'a pull seen in `kubectl describe`',
      [[IMAGE_VOLUMES, 'a container sees the image, whose links mean its own files']],
      { note: 'that it has succeeded, and how it failed' },
    ),
    real('registry mirrors', [
      [REGISTRIES, 'mirrors in their order'],
      [REGISTRIES, 'a mirror that gives wrong bytes'],
      [REGISTRIES, 'capabilities: a mirror that may not resolve'],
    ]),
    real('per-registry TLS settings', [
      [REGISTRIES, 'skip_verify, and Docker’s form'],
      [REGISTRIES, 'a client certificate is shown'],
    ]),
    real('hosts.toml form', [
      [REGISTRIES, 'a mistake names file and key'],
      [REGISTRIES, '_default serves registries'],
    ]),
    real('image GC by disk thresholds', [
      ['test/integration/image-collection.test.ts', 'a full disk is made free down to the low threshold'],
      [IMAGES, 'collect removes the least recently used images'],
    ]),
    real(
      'image volumes',
      [
        [IMAGE_VOLUMES, 'a container sees the image, whose links mean its own files'],
        [IMAGE_VOLUMES, 'subPath shows a part'],
      ],
      { rows: ['ImageVolume should succeed with pod and pull policy of Always'] },
    ),
    real('unpacking: gzip, zstd, whiteouts', [[IMAGES, 'a zstd layer, a gzip layer with two members']]),
  ],
};

export const VOLUME_LINE: Line = {
  title: '5 Volumes',
  clauses: [
    real('emptyDir: disk', [['test/e2e/pod-life.test.ts', 'a file of one container is the environment of another']], {
      rows: ['EmptyDir volumes pod should support shared volumes between containers'],
    }),
    real('emptyDir: its mode', [[PROGRAMS, 'emptyDir: open to all']], {
      rows: [
        'EmptyDir volumes volume on default medium should have the correct mode',
        'EmptyDir volumes volume on tmpfs should have the correct mode',
      ],
    }),
    unit('emptyDir: huge pages', [['agent/volumes/hugepages.test.ts', 'an emptyDir of them is mounted']], {
      note: 'this machine has no hugetlb',
    }),
    real('emptyDir: memory', [
      [MOUNTS, 'a memory emptyDir is a tmpfs'],
      ['test/faults/eviction.test.ts', 'short of memory'],
    ]),
    real('emptyDir: sizeLimit', [
      [MOUNTS, 'a memory emptyDir is a tmpfs'],
      ['test/faults/eviction.test.ts', 'limits of local storage'],
    ]),
    real('hostPath with types', [[HOST, 'hostPath: each type is what it says or is made']]),
    real('configMap', [[PROGRAMS, 'configMap and secret: items, modes, bytes']], {
      rows: [
        'ConfigMap should be consumable from pods in volume',
        'ConfigMap should be consumable from pods in volume with defaultMode set',
        'ConfigMap should be consumable from pods in volume as non-root',
      ],
    }),
    real(
      'secret',
      [
        [PROGRAMS, 'configMap and secret: items, modes, bytes'],
        [MOUNTS, 'secrets lie on a tmpfs'],
      ],
      {
        rows: [
          'Secrets should be consumable from pods in volume',
          'Secrets should be consumable from pods in volume with defaultMode set',
        ],
      },
    ),
    real(
      'projected',
      [
        [PROGRAMS, 'projected: files of all sources below one folder'],
        [TOKENS, 'a user alone may read its token'],
      ],
      { rows: ['Projected combined should project all components that make up the projection API'] },
    ),
    real('what a Secret says is in no file of the disk', [
      [AT_REST, 'leave none on the disk, nor does exec'],
      [AT_REST, 'an agent that was killed has them again'],
    ]),
    unit('slow volumes hold up no other pod', [
      ['agent/pods/sandbox.test.ts', 'volumes that take their time hold no slot'],
    ]),
    real('service account token rotated', [[TOKENS, 'the token is renewed, and it is good']], {
      note: 'by an agent that begins; at 80 % of its life by a unit test',
    }),
    unit('service account token rotated when its time comes', [
      [VOLUMES, 'the token renewed when 80 %'],
      ['agent/pods/tokens.test.ts', 'a running pod is refreshed when its token is due'],
    ]),
    real('downwardAPI', [[PROGRAMS, 'downwardAPI: the pod’s own fields and amounts']], {
      rows: [
        'Downward API volume should provide podname only',
        'Downward API volume should update labels on modification',
        'Downward API volume should update annotations on modification',
        "Downward API volume should provide container's cpu limit",
        'Downward API volume should provide node allocatable (memory) as default memory limit if the limit is not set',
      ],
    }),
    real('subPath', [[MOUNTS, 'subPath: a key of a ConfigMap stays']], {
      rows: ['Subpath Atomic writer volumes should support subpaths with configmap pod'],
    }),
    real('subPathExpr', [[PROGRAMS, 'subPathExpr: by variables']], {
      rows: [
        'Variable Expansion should allow substituting values in a volume subpath',
        'Variable Expansion should fail substituting values in a volume subpath with absolute path',
        'Variable Expansion should fail substituting values in a volume subpath with backticks',
        'Variable Expansion should succeed in writing subpaths in container',
        'Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a container',
      ],
    }),
    real('subPath safe against symlinks', [[MOUNTS, 'subPath under attack']]),
    real('readOnly recursive', [['test/e2e/isolation.test.ts', 'recursiveReadOnly on']]),
    real('mountPropagation', [[HOST, 'mountPropagation: what is mounted later, on either side']]),
    real('defaultMode/items', [[PROGRAMS, 'configMap and secret: items, modes, bytes']], {
      rows: [
        'ConfigMap should be consumable from pods in volume with mappings',
        'ConfigMap should be consumable from pods in volume with mappings and Item mode set',
        'ConfigMap binary data should be reflected in volume',
      ],
    }),
    real(
      'optional sources',
      [
        [PROGRAMS, 'an optional source that is missing is an empty folder'],
        [PROGRAMS, 'one that is needed keeps its pod waiting with words'],
      ],
      {
        rows: [
          'ConfigMap optional updates should be reflected in volume',
          'Secrets optional updates should be reflected in volume',
        ],
      },
    ),
    real('atomic updates (`..data`)', [[PROGRAMS, 'a ConfigMap that changes is seen by a running program']], {
      note: 'a crash between any two steps: agent/volumes/volumes.test.ts',
      rows: ['ConfigMap updates should be reflected in volume'],
    }),
    real(
      'fsGroup',
      [
        [MOUNTS, 'fsGroup and the token of a common user'],
        [CLAIMS, 'a program that is not root writes by fsGroup'],
        ['test/integration/own-tree.test.ts', 'under attack: names swapped for links'],
      ],
      { rows: ['Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set'] },
    ),
    real('claims: StorageClass `local` is the default', [[CLAIMS, 'a claim without a class gets the default one']]),
    real('claims: WaitForFirstConsumer', [[CLAIMS, 'a claim without a class gets the default one']]),
    real('claims: reclaim policy Delete', [[CLAIMS, 'a claim in use stays until its pod is gone']]),
    real('claims: reclaim policy Retain', [[CLAIMS, 'with Retain the data stays']]),
    real('claims: expansion', [[CLAIMS, 'a claim grows where its class allows it']]),
    real('claims: access modes, ReadWriteOncePod', [[CLAIMS, 'ReadWriteOncePod is one pod’s']], {
      note: 'of the others: readOnly holds',
    }),
    real('claims: ephemeral', [[CLAIMS, 'an ephemeral claim goes with its pod']]),
    real('claims: found again by the next agent', [[CLAIMS, 'an agent that is killed finds the volumes']]),
    unit('NFS', [[CLAIM_VOLUMES, 'NFS is mounted by the host’s mount(8)']], {
      note: 'the command alone: this kernel has no client',
    }),
    real('CSI: registration socket', [
      [CSI, 'a driver registers by its socket'],
      [CSI, 'a driver that goes is taken from the CSINode'],
    ]),
    real('CSI: attached, staged, published, grown', [[CSI, 'a volume is made, attached, staged, published']]),
    real('CSI: moves between nodes', [[CSI, 'it moves: another node’s pod waits']]),
    real('CSI: driver or agent killed in the middle', [
      [CSI, 'a driver that is killed in the middle of staging'],
      [CSI, 'an agent that is killed between stage and publish'],
    ]),
    real('CSI: volumes in the pod’s own spec', [[CSI, 'an agent that is killed between stage and publish']], {
      rows: ['CSIInlineVolumes should support CSIVolumeSource in Pod API'],
    }),
    real('CSI: nothing is left', [[CSI, 'with the pods and claims all goes']]),
    unit('CSI: statistics of volumes', [['agent/csi/csi.test.ts', 'how full a claim’s volume is']]),
    none('CSI: volumeMode Block', 'not there (docs/plan/issue-4.md)'),
  ],
};
