/** What is told of a container: its labels, image and name are attributes. Source: moby daemon/events.go. Pure. */
import type { EngineContainer, EngineEvent } from '../parts.ts';

export function containerEvent(
  { id, record }: EngineContainer,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
): EngineEvent {
  const own = { image: record.config.Image, name: record.name };
  return { type: 'container', action, id, attributes: { ...record.config.Labels, ...own, ...attributes } };
}
