import { expect, test } from 'vitest';
import { Reports, type SessionReports } from './reports.ts';

test('what is said before the session is open reaches it, in order, once', () => {
  const heard: string[] = [];
  const session: SessionReports = {
    reportPodStatus: (pod, status) => heard.push(`status ${pod.name} ${status.phase}`),
    reportPodRemoved: (pod) => heard.push(`removed ${pod.name}`),
    event: (e) => heard.push(`event ${e.reason}`),
  };
  const reports = new Reports();
  const pod = { namespace: 'n', name: 'p', uid: 'u' };
  reports.reportPodStatus(pod, { phase: 'Pending' });
  reports.event({ involvedObject: {}, reason: 'Pulled' });
  reports.reportPodStatus(pod, { phase: 'Running' });
  expect(heard).toEqual([]);
  reports.attach(session);
  expect(heard).toEqual(['status p Pending', 'event Pulled', 'status p Running']);
  reports.reportPodRemoved(pod);
  expect(heard.slice(3)).toEqual(['removed p']);
});
