/** What the API server needs and what it gives: read this first, then main.ts. */
import type { Clock, Logger, Random } from '#lib/base';
import type { NodeStreams, RequestHandler, UserInfo } from '#lib/client';
import type { Store } from '#lib/store';
import type { HealthCheck } from './health.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

/** Bearer tokens (service accounts, bootstrap tokens) plug in here; undefined = not a token of this verifier's. */
export interface BearerVerifier {
  verify(token: string, signal: AbortSignal): Promise<UserInfo | undefined>;
}

export interface ApiServerConfig {
  /** `10.43.0.0/16`: the first address is the service `kubernetes`, the tenth the DNS service. */
  readonly serviceCidr: string;
  /** Inclusive. Default 30000-32767. */
  readonly nodePortRange?: { readonly from: number; readonly to: number } | undefined;
  /** Where pods and other hosts reach this server: address of the `kubernetes` endpoints. */
  readonly advertise: { readonly address: string; readonly port: number };
  /** Default toleration of not-ready/unreachable NoExecute. Default 3 s. */
  readonly defaultTolerationSeconds?: number | undefined;
  /** Lifetime of Event objects. Default 1 h. */
  readonly eventTtlSeconds?: number | undefined;
  /** How long a pod create waits for its namespace's service account to appear. Default 5 s. */
  readonly serviceAccountWaitMs?: number | undefined;
  /** Deep-freeze cached objects: for tests, it costs time. Default false. */
  readonly freeze?: boolean | undefined;
}

export interface ApiServerDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** None = in process only. */
  readonly listen: readonly ListenAddress[];
  /** Required when `listen` is not empty. `caPem` signs client certificates. */
  readonly tls?: { readonly certPem: string; readonly keyPem: string; readonly caPem: string } | undefined;
  /** Exec, attach, logs, port-forward toward nodes; may also be given later by `useNodeStreams`. */
  readonly nodeStreams?: NodeStreams | undefined;
  readonly bearer?: BearerVerifier | undefined;
  /** More checks of /healthz and /readyz: of what the store leans on. */
  readonly checks?: readonly HealthCheck[] | undefined;
  readonly config: ApiServerConfig;
}

/** Disposing stops it gracefully: readyz fails first, watches end cleanly, then the listeners close. */
export interface ApiServer extends AsyncDisposable {
  /** For InProcessClient. */
  readonly handler: RequestHandler;
  /** Bound addresses, in the order of `listen`. */
  readonly addresses: readonly ListenAddress[];
  /** A renewed certificate, for connections to come. `caPem` as before. */
  useCertificate(pair: { readonly certPem: string; readonly keyPem: string }): void;
  /** The gateway is started after the API server: it gives itself here. */
  useNodeStreams(streams: NodeStreams): void;
}
