/** An event of a container: its labels, image and name as attributes. Source: moby daemon/events.go (LogContainerEvent). */
import type { EngineContainer, EngineEvent } from '../parts.ts';

export function containerEvent(
  { id, record }: Pick<EngineContainer, 'id' | 'record'>,
  action: string,
  more: Readonly<Record<string, string>> = {},
): EngineEvent {
  const { config, name } = record;
  return { type: 'container', action, id, attributes: { ...config.Labels, image: config.Image, name, ...more } };
}
