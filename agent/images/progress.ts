/** How far a pull is, as a text for people; and durations as Go prints them, which the kubelet's events hold. Pure. */
import type { PullOptions } from './images.ts';

type Progress = Parameters<NonNullable<PullOptions['onProgress']>>[0];

export class PullProgress {
  readonly #layers = new Map<string, Progress>();

  update(p: Progress): void {
    this.#layers.set(p.layer, p);
  }

  /** `12.3 of 40.0 MB, 2 of 5 layers`, or what is known before the first byte. */
  text(): string {
    const all = [...this.#layers.values()];
    if (all.length === 0) return 'the registry has not answered yet';
    const sum = (of: (p: Progress) => number): number => all.reduce((n, p) => n + of(p), 0);
    const [done, total] = [sum((p) => p.doneBytes), sum((p) => p.totalBytes)];
    const whole = all.filter((p) => p.doneBytes >= p.totalBytes).length;
    const unpacking = whole === all.length ? ', unpacking' : '';
    return `${megabytes(done)} of ${megabytes(total)} MB, ${whole} of ${all.length} layers${unpacking}`;
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

/** `567ms`, `1.234s`, `1m2.5s`, `1h0m3s`: whole milliseconds, as time.Duration.Truncate(time.Millisecond) prints. */
export function goDuration(ms: number): string {
  const whole = Math.max(0, Math.floor(ms));
  if (whole === 0) return '0s';
  if (whole < 1000) return `${whole}ms`;
  const [hours, minutes] = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60];
  const seconds = String((whole % 60_000) / 1000);
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
