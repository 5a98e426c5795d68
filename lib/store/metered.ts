/**
 * A store that counts how long its operations take, under the names of Kubernetes' etcd client. Watches are not counted:
 * they last. Source: k8s.io/apiserver/pkg/storage/etcd3/metrics/metrics.go.
 */
import { type Clock, Counter, Histogram, type MetricFamily, type MetricSource } from '#lib/base';
import type { Store } from './store.ts';

const BUCKETS_SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30];

export interface MeteredStore extends Store, MetricSource {}

/** `typeOf`: bounded names for keys and prefixes, such as the resource. */
export function meteredStore(store: Store, typeOf: (key: string) => string, clock: Clock): MeteredStore {
  const seconds = new Histogram(
    'etcd_request_duration_seconds',
    'Etcd request latency in seconds for each operation and object type.',
    BUCKETS_SECONDS,
  );
  const requests = new Counter('etcd_requests_total', 'Etcd request counts for each operation and object type.');
  const errors = new Counter(
    'etcd_request_errors_total',
    'Etcd failed request counts for each operation and object type.',
  );
  const measured = async <T>(operation: string, key: string, work: Promise<T>): Promise<T> => {
    const labels = { operation, type: typeOf(key) };
    const startedMs = clock.monotonic();
    try {
      return await work;
    } catch (e) {
      errors.add(labels);
      throw e;
    } finally {
      requests.add(labels);
      seconds.observe(labels, (clock.monotonic() - startedMs) / 1000);
    }
  };
  return {
    admin: store.admin,
    get: (key, c) => measured('get', key, store.get(key, c)),
    list: (prefix, o, c) => measured('list', prefix, store.list(prefix, o, c)),
    create: (key, value, o, c) => measured('create', key, store.create(key, value, o, c)),
    update: (key, value, expected, o, c) => measured('update', key, store.update(key, value, expected, o, c)),
    delete: (key, expected, o, c) => measured('delete', key, store.delete(key, expected, o, c)),
    watch: (from, c) => store.watch(from, c),
    currentRevision: (c) => measured('getCurrentResourceVersion', '', store.currentRevision(c)),
    metrics: (): Iterable<MetricFamily> => [seconds.family(), requests.family(), errors.family()],
  };
}
