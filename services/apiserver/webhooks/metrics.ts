/** What calls of admission webhooks are counted as. Source: k8s.io/apiserver/pkg/admission/metrics/metrics.go. */
import { Counter, expositionText, Histogram, type MetricFamily } from '#lib/base';

const PREFIX = 'apiserver_admission_webhook_';
const BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25];

export type WebhookType = 'admit' | 'validating';
export type RejectionCause = 'calling_webhook_error' | 'apiserver_internal_error' | 'no_error';

export interface ObservedCall {
  readonly name: string;
  readonly type: WebhookType;
  readonly operation: string;
  readonly seconds: number;
  readonly isRejected: boolean;
  readonly code: number;
}

/** Names of webhooks are bounded by the number of series that a metric keeps. */
export class WebhookMetrics {
  readonly #durations = new Histogram(
    `${PREFIX}admission_duration_seconds`,
    'Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).',
    BUCKETS_SECONDS,
  );
  readonly #requests = new Counter(
    `${PREFIX}request_total`,
    'Admission webhook request total, identified by name and broken out for each admission type and operation, the code of the answer and whether the request was rejected.',
  );
  readonly #rejections = new Counter(
    `${PREFIX}rejection_count`,
    'Admission webhook rejection count, identified by name and broken out for each admission type and operation, error type and rejection code.',
  );
  readonly #openFailures = new Counter(
    `${PREFIX}fail_open_count`,
    'Admission webhook fail open count, identified by name and broken out for each admission type.',
  );
  readonly #conditionErrors = new Counter(
    'apiserver_admission_match_condition_evaluation_errors_total',
    'Admission match condition evaluation errors count, identified by name of resource containing the match condition and broken out for each kind, operation and admission type.',
  );
  readonly #conditionExclusions = new Counter(
    'apiserver_admission_match_condition_exclusions_total',
    'Admission match condition evaluation exclusions count, identified by name of resource containing the match condition and broken out for each kind, operation and admission type.',
  );

  called(o: ObservedCall): void {
    const { name, type, operation, seconds, code } = o;
    const rejected = String(o.isRejected);
    this.#durations.observe({ name, type, operation, rejected }, seconds);
    this.#requests.add({ name, type, operation, code: String(code), rejected });
  }

  rejected(o: Omit<ObservedCall, 'seconds' | 'isRejected'>, cause: RejectionCause): void {
    const { name, type, operation } = o;
    // Codes above 600 would be a webhook's invention.
    const code = String(Math.min(o.code, 600));
    this.#rejections.add({ name, type, operation, error_type: cause, rejection_code: code });
  }

  failedOpen(name: string, type: WebhookType): void {
    this.#openFailures.add({ name, type });
  }

  conditionFailed(name: string, type: WebhookType, operation: string): void {
    this.#conditionErrors.add({ name, kind: 'webhook', type, operation });
  }

  conditionExcluded(name: string, type: WebhookType, operation: string): void {
    this.#conditionExclusions.add({ name, kind: 'webhook', type, operation });
  }

  *families(): Iterable<MetricFamily> {
    const all = [
      this.#durations,
      this.#requests,
      this.#rejections,
      this.#openFailures,
      this.#conditionErrors,
      this.#conditionExclusions,
    ];
    for (const metric of all) yield metric.family();
  }

  metricLines(): Iterable<string> {
    const text = expositionText(this.families()).trimEnd();
    return text === '' ? [] : text.split('\n');
  }
}
