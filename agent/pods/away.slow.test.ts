/**
 * An hour without a control plane, in virtual time: pods run on, are restarted and probed; an agent that is replaced meanwhile goes
 * on from the wish on disk; on return the gateway hears of each pod once, what holds now.
 */
import { afterEach, expect, test } from 'vitest';
import type { PodStatus } from '#lib/api';
import { silentLogger } from '#lib/base';
import { Outbox } from '../session/outbox.ts';
import type { FakeAgent } from './fake-agent.ts';
import { FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const MINUTE_MS = 60_000;
const STEP_MS = 5_000;
const probe = (name: string) => ({ exec: { command: [name] }, periodSeconds: 10, failureThreshold: 3 });

let node: FakeNode;
afterEach(async () => node[Symbol.asyncDispose]());

const podOf = (name: string, spec: Partial<PodObject['spec']>): PodObject => {
  const containers = spec.containers ?? [{ name, image: 'i' }];
  return fakePod({ ...spec, containers }, { name, uid: name });
};
const PODS = [
  podOf('steady', { containers: [{ name: 'steady', image: 'i', livenessProbe: probe('live') }] as never }),
  podOf('crashing', {}),
  podOf('sick', { containers: [{ name: 'sick', image: 'i', livenessProbe: probe('live') }] as never }),
  podOf('unready', { containers: [{ name: 'unready', image: 'i', readinessProbe: probe('ready') }] as never }),
  podOf('job', { restartPolicy: 'Never' }),
];

/** What the agent says is kept until there is somebody to hear it, as the session keeps it. */
function cutOff(agent: FakeAgent): Outbox {
  const outbox = new Outbox({ clock: node.clock, log: silentLogger });
  agent.deps.session.reportPodStatus = (pod, status) => outbox.podStatus(pod, Buffer.from(JSON.stringify(status)));
  agent.deps.session.reportPodRemoved = (pod) => outbox.podRemoved(pod);
  agent.deps.session.event = (e) => outbox.event(Buffer.from(JSON.stringify(e)));
  return outbox;
}

test('an hour: restarts, probes and ends go on, through an agent’s restart; on return each pod is reported once', async () => {
  let begunMs = 0;
  const minutes = (): number => (node.clock.now() - begunMs) / MINUTE_MS;
  let probes = 0;
  const answer = (code: () => number) => ({
    exec: () => {
      probes++;
      return { code: code() };
    },
  });
  node = await FakeNode.make({
    programs: {
      steady: answer(() => 0),
      crashing: { exit: { afterMs: 1_000, code: 1 } },
      sick: (attempt) => answer(() => (attempt === 0 && minutes() > 15 ? 1 : 0)),
      unready: answer(() => (minutes() > 50 ? 1 : 0)),
      job: { exit: { afterMs: 20 * MINUTE_MS, code: 0 } },
    },
  });
  begunMs = node.clock.now();
  const first = await node.agent();
  for (const pod of PODS) first.want(pod);
  await node.passUntil(() => PODS.every((p) => node.status(p.metadata.uid ?? '')?.phase === 'Running'), 'all Running');
  const asKnown = PODS.map((p) => ({ ...p, status: node.status(p.metadata.uid ?? '') }) as PodObject);
  const reports = node.reports.length;

  cutOff(first);
  await node.pass(30 * MINUTE_MS, STEP_MS);
  await first[Symbol.asyncDispose]();
  const second = await node.agent();
  const outbox = cutOff(second);
  for (const pod of asKnown) second.want(pod);
  await node.pass(30 * MINUTE_MS, STEP_MS);

  expect(node.reports).toHaveLength(reports);
  expect(probes).toBeGreaterThan(3 * 300);
  const heard: { uid: string; status: PodStatus; sequence: string }[] = [];
  outbox.open((m) => {
    const { uid = '', status, sequence = '' } = m.pod_status ?? {};
    if (m.pod_status) heard.push({ uid, status: JSON.parse(String(status)) as PodStatus, sequence: String(sequence) });
  });
  expect(heard.map((h) => h.uid).sort()).toEqual(PODS.map((p) => p.metadata.uid).sort());
  const restarts = (uid: string) => heard.find((h) => h.uid === uid)?.status.containerStatuses?.[0]?.restartCount;
  const ready = (uid: string) => heard.find((h) => h.uid === uid)?.status.containerStatuses?.[0]?.ready;
  const phases = Object.fromEntries(heard.map((h) => [h.uid, h.status.phase]));
  expect(phases).toEqual({
    steady: 'Running',
    crashing: 'Running',
    sick: 'Running',
    unready: 'Running',
    job: 'Succeeded',
  });
  expect([restarts('steady'), restarts('sick'), restarts('unready'), restarts('job')]).toEqual([0, 1, 0, 0]);
  /* At once, then after 10, 20, 40, 80, 160 and ten times 300 s. */
  expect(restarts('crashing')).toBeGreaterThanOrEqual(15);
  expect(restarts('crashing')).toBeLessThanOrEqual(17);
  expect([ready('steady'), ready('sick'), ready('unready')]).toEqual([true, true, false]);
  for (const h of heard) outbox.acknowledged(h.sequence, '');
  expect(outbox.size).toBe(0);
  expect([...node.host.containers.values()].filter((x) => x.state.phase === 'running').length).toBeGreaterThanOrEqual(
    3,
  );
});
