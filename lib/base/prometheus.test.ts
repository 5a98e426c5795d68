import { describe, expect, test } from 'vitest';
import { Counter, expositionText, Histogram, processMetrics } from './prometheus.ts';

describe('Prometheus text', () => {
  test('each family once, with help and type; values of labels escaped; families without samples left out', () => {
    const counter = new Counter('x_total', 'Counts\nall');
    counter.add({ a: 'quote " slash \\ line\n' });
    counter.add({ a: 'b' }, 2);
    counter.add({ a: 'b' });
    const empty = new Counter('none_total', '');
    expect(expositionText([counter.family(), empty.family()])).toBe(
      [
        '# HELP x_total Counts\\nall',
        '# TYPE x_total counter',
        'x_total{a="quote \\" slash \\\\ line\\n"} 1',
        'x_total{a="b"} 3',
        '',
      ].join('\n'),
    );
    expect(expositionText([])).toBe('');
  });

  test('a histogram is cumulative, a bound belongs to its bucket', () => {
    const h = new Histogram('h', 'h', [1, 5]);
    for (const v of [0.5, 1, 3, 9]) h.observe({ a: 'b' }, v);
    expect(expositionText([h.family()]).split('\n').slice(2, -1)).toEqual([
      'h_bucket{a="b",le="1"} 2',
      'h_bucket{a="b",le="5"} 3',
      'h_bucket{a="b",le="+Inf"} 4',
      'h_sum{a="b"} 13.5',
      'h_count{a="b"} 4',
    ]);
  });

  test('gauges may tell when they were read; what is no number has its own words', () => {
    const samples = [
      { labels: {}, value: 1.5, timestampMs: 1700.4 },
      { labels: { n: 'i' }, value: Number.POSITIVE_INFINITY },
      { labels: { n: 'n' }, value: Number.NaN },
    ];
    expect(
      expositionText([{ name: 'g', help: 'g', type: 'gauge', samples }])
        .split('\n')
        .slice(2, -1),
    ).toEqual(['g 1.5 1700', 'g{n="i"} +Inf', 'g{n="n"} NaN']);
  });

  test('series have a bound', () => {
    const counter = new Counter('x_total', 'x');
    for (let i = 0; i < 10_100; i++) counter.add({ i: String(i) });
    counter.add({ i: '0' });
    const lines = expositionText([counter.family()]).trim().split('\n');
    expect(lines).toHaveLength(10_002);
    expect(lines[2]).toBe('x_total{i="0"} 2');
  });

  test('a process tells its time, memory, files and start', async () => {
    const families = await processMetrics();
    const value = (name: string): number => [...(families.find((f) => f.name === name)?.samples ?? [])][0]?.value ?? -1;
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(1 << 20);
    expect(value('process_open_fds')).toBeGreaterThan(2);
    expect(value('process_start_time_seconds')).toBeGreaterThan(1.6e9);
  });
});
