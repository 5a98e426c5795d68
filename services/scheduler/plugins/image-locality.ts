/**
 * Nodes that hold the pod's images, by size, and by how many nodes hold them, so that not everything lands where the image
 * happened to be first. Source: kubernetes plugins/imagelocality.
 */
import type { ScorePlugin } from '../framework.ts';

const LEAST_BYTES = 23 * 1024 * 1024;
const MOST_BYTES_PER_CONTAINER = 1000 * 1024 * 1024;

export const imageLocality: ScorePlugin = {
  name: 'ImageLocality',
  weight: 1,
  normalize: 'none',
  prepare(p, s) {
    const containers = [...p.pod.spec.containers, ...(p.pod.spec.initContainers ?? [])];
    const images = containers.flatMap((c) => (c.image ? [normalizedImage(c.image)] : []));
    if (images.length === 0 || s.nodes.length === 0) return undefined;
    const spread = new Map(
      images.map((image) => [image, s.nodes.filter((n) => n.images.has(image)).length / s.nodes.length]),
    );
    const most = MOST_BYTES_PER_CONTAINER * containers.length;
    return (n) => {
      const bytes = images.reduce((sum, i) => sum + (n.images.get(i) ?? 0) * (spread.get(i) ?? 0), 0);
      const clamped = Math.min(Math.max(bytes, LEAST_BYTES), most);
      return Math.floor((100 * (clamped - LEAST_BYTES)) / (most - LEAST_BYTES));
    };
  },
};

/** Without tag or digest an image means its tag `latest`. */
function normalizedImage(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') && !image.includes('@') ? `${image}:latest` : image;
}
