/** How far a pull is, as a text for people. Pure. */
import type { PullStep } from './images.ts';

type Progress = Pick<PullStep, 'layer' | 'doneBytes' | 'totalBytes'>;

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
