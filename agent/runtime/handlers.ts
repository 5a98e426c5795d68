/**
 * Handlers of RuntimeClasses: which OCI runtime a pod's containers run under. '' is the node's default; crun and runc have
 * handlers of their own names where they are installed; the node's settings name others.
 * Source: KEP-585; kubernetes pkg/kubelet/runtimeclass, pkg/kubelet/nodestatus/setters.go (RuntimeHandlers).
 */
export interface RuntimeHandler {
  /** As `handler` of a RuntimeClass. */
  readonly name: string;
  readonly path: string;
  /** Before all others that the runtime is called with. */
  readonly arguments: readonly string[];
}
