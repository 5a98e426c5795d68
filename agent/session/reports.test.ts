import { expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { Reports, type SessionReports } from './reports.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

test('what is said before the session is open reaches it, in order, once', async () => {
  const heard: string[] = [];
  const session: SessionReports = {
    reportPodStatus: (pod, status) => heard.push(`status ${pod.name} ${status.phase}`),
    reportPodRemoved: (pod) => heard.push(`removed ${pod.name}`),
    reportVolumeErased: ({ name }) => heard.push(`erased ${name}`),
    serviceAccountToken: async ({ serviceAccount }) => ({ token: `of ${serviceAccount}`, expiresAtMs: 1 }),
    mirrorPod: async (p, source) => void heard.push(`mirror ${p.name} ${source === undefined}`),
    putCsiDriver: async ({ name }) => void heard.push(`driver ${name}`),
    claimResized: async ({ name }, storage) => void heard.push(`resized ${name} ${storage}`),
    event: (e) => heard.push(`event ${e.reason}`),
  };
  const reports = new Reports();
  const pod = { namespace: 'n', name: 'p', uid: 'u' };
  reports.reportPodStatus(pod, { phase: 'Pending' });
  reports.event({ involvedObject: {}, reason: 'Pulled' });
  reports.reportPodStatus(pod, { phase: 'Running' });
  expect(heard).toEqual([]);
  const request = { pod, serviceAccount: 'robot', audience: undefined, expirationSeconds: 600 };
  await expect(reports.serviceAccountToken(request, c)).rejects.toMatchObject({ kind: 'Unavailable' });
  await expect(reports.mirrorPod(pod, undefined, c)).rejects.toMatchObject({ kind: 'Unavailable' });
  reports.attach(session);
  expect(await reports.serviceAccountToken(request, c)).toEqual({ token: 'of robot', expiresAtMs: 1 });
  expect(heard).toEqual(['status p Pending', 'event Pulled', 'status p Running']);
  reports.reportPodRemoved(pod);
  reports.reportVolumeErased({ name: 'v', uid: 'u2' });
  await reports.mirrorPod(pod, undefined, c);
  expect(heard.slice(3)).toEqual(['removed p', 'erased v', 'mirror p true']);
});
