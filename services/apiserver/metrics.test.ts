import { describe, expect, test } from 'vitest';
import { kindByResource } from '#lib/api';
import { VirtualClock } from '#lib/base';
import { requestInfo } from './http/request-info.ts';
import { Metrics } from './metrics.ts';

function metrics(): {
  metrics: Metrics;
  clock: VirtualClock;
  ask: (method: string, path: string, code?: number) => void;
} {
  const clock = new VirtualClock();
  const made = new Metrics({
    objects: () => [],
    kindOf: kindByResource,
    lines: [],
    families: [],
    version: 'v0',
    clock,
  });
  const ask = (method: string, path: string, code = 200): void => {
    const info = requestInfo(method, path, new URLSearchParams());
    made.begin(info, { isLong: false })(code);
  };
  return { metrics: made, clock, ask };
}

function counted(text: string): string[] {
  return text.split('\n').filter((l) => l.startsWith('apiserver_request_total{'));
}

describe('what is counted of requests', () => {
  test('each by its labels, however often', async () => {
    const { metrics: m, ask } = metrics();
    for (let i = 0; i < 3; i++) ask('GET', '/api/v1/namespaces/a/pods/b/log');
    ask('PATCH', '/api/v1/namespaces/a/pods/b/status', 409);
    ask('GET', '/version');
    const labels = 'group="",version="v1",resource="pods"';
    expect(counted(await m.text())).toEqual([
      `apiserver_request_total{verb="GET",${labels},subresource="log",scope="resource",component="apiserver",dry_run="",code="200"} 3`,
      `apiserver_request_total{verb="PATCH",${labels},subresource="status",scope="resource",component="apiserver",dry_run="",code="409"} 1`,
      'apiserver_request_total{verb="GET",group="",version="",resource="",subresource="",scope="",component="apiserver",dry_run="",code="200"} 1',
    ]);
  });

  test('versions, resources and subresources that are not served share one series', async () => {
    const { metrics: m, ask } = metrics();
    for (let i = 0; i < 50; i++) {
      ask('GET', `/api/v${i + 2}/namespaces/a/pods/b`, 403);
      ask('GET', `/apis/apps/v1beta${i}/namespaces/a/deployments/b`, 403);
      ask('GET', `/apis/g${i}.example.com/v1/namespaces/a/things/b`, 403);
      ask('GET', `/api/v1/namespaces/a/configmaps/b/sub${i}`, 403);
    }
    ask('GET', '/api/v1/namespaces/a/configmaps/b/exec', 403);
    const lines = counted(await m.text());
    expect(lines).toHaveLength(2);
    expect(lines.map((l) => Number(l.split(' ').at(-1)))).toEqual([150, 51]);
  });

  test('how long they took, with those of before', async () => {
    const { metrics: m, clock } = metrics();
    const info = requestInfo('GET', '/api/v1/pods', new URLSearchParams());
    for (const ms of [4, 70_000]) {
      const answered = m.begin(info, { isLong: false });
      await clock.advance(ms);
      answered(200);
    }
    const text = await m.text();
    const bucket = (le: string): string | undefined =>
      text
        .split('\n')
        .find((l) => l.startsWith('apiserver_request_duration_seconds_bucket') && l.includes(`le="${le}"`));
    expect(bucket('0.005')).toMatch(/ 1$/);
    expect(bucket('60')).toMatch(/ 1$/);
    expect(bucket('+Inf')).toMatch(/ 2$/);
  });
});
