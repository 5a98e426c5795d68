/** An ingress without class gets the default one. Source: plugin/pkg/admission/network/defaultingressclass. */
import { type Ingress, type KindInfo, Kinds, kindInfo } from '#lib/api';
import type { Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { defaultClass } from './default-class.ts';

const DEFAULT_ANNOTATION = 'ingressclass.kubernetes.io/is-default-class';
/** An ingress's class, from the time before spec.ingressClassName. */
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';

export class DefaultIngressClass implements AdmissionPlugin {
  readonly name = 'DefaultIngressClass';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.ingressclasses);
  }

  admit(request: AdmissionRequest): void {
    const { kind, operation, subresource } = request;
    const isIngress = kind.group === 'networking.k8s.io' && kind.resource === 'ingresses' && subresource === '';
    if (!isIngress || operation !== 'CREATE') return;
    const ingress = request.object as Ingress;
    if (ingress.spec?.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.[CLASS_ANNOTATION] !== undefined) return;
    const classes = [...this.#storage.cache.of(this.#kind).items('')].map((x) => x.object);
    const found = defaultClass(classes, [DEFAULT_ANNOTATION]);
    if (found !== undefined) ingress.spec = { ...ingress.spec, ingressClassName: found.metadata.name };
  }
}
