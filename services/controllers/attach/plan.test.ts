/** Which volumes are attached and detached, and when. */
import { describe, expect, test } from 'vitest';
import { attachmentName, type Node, type PersistentVolume, type Pod, type VolumeAttachment } from '#lib/api';
import { type AttachWorld, FORCE_DETACH_MS, planAttachments } from './plan.ts';

const SOURCE = { driver: 'd.example', volumeHandle: 'h' };
const NAME = attachmentName(SOURCE, 'n1');
const UNIQUE = 'kubernetes.io/csi/d.example^h';

const volume = (accessModes: string[] = ['ReadWriteOnce']): PersistentVolume =>
  ({ metadata: { name: 'pv' }, spec: { accessModes, csi: SOURCE } }) as unknown as PersistentVolume;
const pod = { metadata: { name: 'p', uid: 'u' } } as Pod;
const attachment = (more: object = {}, nodeName = 'n1'): VolumeAttachment =>
  ({
    metadata: { name: attachmentName(SOURCE, nodeName) },
    spec: { nodeName, attacher: 'd.example', source: { persistentVolumeName: 'pv' } },
    ...more,
  }) as unknown as VolumeAttachment;
const node = (status: object = {}, isReady = true, taints: object[] = []): Node =>
  ({
    metadata: { name: 'n1' },
    spec: { taints },
    status: { ...status, conditions: [{ type: 'Ready', status: isReady ? 'True' : 'Unknown' }] },
  }) as unknown as Node;
const wanted = [{ volume: volume(), pods: [pod] }];
const plan = (w: Partial<AttachWorld>) =>
  planAttachments({
    ...{ nodeName: 'n1', node: node(), wanted: [], attachments: [], nowMs: 1_000 },
    attachmentsOf: () => [],
    unwantedSinceMs: () => undefined,
    ...w,
  });

describe('attach', () => {
  test('what a pod of the node wants, once', () => {
    expect(plan({ wanted }).actions).toEqual([{ do: 'attach', name: NAME, driver: 'd.example', wanted: wanted[0] }]);
    expect(plan({ wanted, attachments: [attachment()] }).actions).toEqual([]);
  });

  test('not while another node has it, unless it may have several', () => {
    const attachmentsOf = () => [attachment({}, 'n2')];
    expect(plan({ wanted, attachmentsOf }).actions).toEqual([{ do: 'refuse', wanted: wanted[0] }]);
    const shared = [{ volume: volume(['ReadOnlyMany', 'ReadWriteOnce']), pods: [pod] }];
    expect(plan({ wanted: shared, attachmentsOf }).actions).toMatchObject([{ do: 'attach' }]);
  });

  test('not again while it is being detached', () => {
    expect(
      plan({ wanted, attachments: [attachment({ metadata: { name: NAME, deletionTimestamp: 't' } })] }).actions,
    ).toEqual([]);
  });
});

describe('detach', () => {
  const attachments = [attachment({ status: { attached: true } })];
  const inUse = { volumesInUse: [UNIQUE], volumesAttached: [{ name: UNIQUE, devicePath: '' }] };

  test('at once when the node does not use it; it is said before', () => {
    const { actions } = plan({ attachments, node: node({ ...inUse, volumesInUse: [] }) });
    expect(actions).toEqual([
      { do: 'report', names: [] },
      { do: 'detach', attachment: attachments[0] },
    ]);
  });

  test('never while a ready node uses it', () => {
    const seen = plan({ attachments, node: node(inUse), unwantedSinceMs: () => -10 * FORCE_DETACH_MS });
    expect(seen).toEqual({ actions: [], waiting: [NAME], afterMs: undefined });
  });

  test.each([
    ['not ready', node(inUse, false)],
    ['gone', undefined],
  ])('from a node that is %s after six minutes', (_what, is) => {
    expect(plan({ attachments, node: is, unwantedSinceMs: () => 1_000, nowMs: 2_000 })).toMatchObject({
      actions: [],
      waiting: [NAME],
      afterMs: FORCE_DETACH_MS - 1_000,
    });
    const late = plan({ attachments, node: is, unwantedSinceMs: () => 1_000, nowMs: 1_000 + FORCE_DETACH_MS });
    expect(late.actions.at(-1)).toEqual({ do: 'detach', attachment: attachments[0] });
  });

  test('at once from a node that is out of service', () => {
    const is = node(inUse, false, [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }]);
    expect(plan({ attachments, node: is }).actions.at(-1)).toMatchObject({ do: 'detach' });
  });

  test('what names no volume is somebody else’s', () => {
    const other = attachment({ spec: { nodeName: 'n1', attacher: 'x', source: { inlineVolumeSpec: {} } } });
    expect(plan({ attachments: [other] }).actions).toEqual([]);
  });
});

test('the node’s volumesAttached are what is attached, in order', () => {
  const attachments = [attachment({ status: { attached: true } })];
  expect(plan({ wanted, attachments }).actions).toEqual([{ do: 'report', names: [UNIQUE] }]);
  const known = node({ volumesAttached: [{ name: UNIQUE, devicePath: '' }] });
  expect(plan({ wanted, attachments, node: known }).actions).toEqual([]);
  expect(plan({ wanted, attachments: [attachment({ status: { attached: false } })], node: known }).actions).toEqual([
    { do: 'report', names: [] },
  ]);
});
