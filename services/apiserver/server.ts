/** What the API server needs and what it gives: read this first, then main.ts. */
import type { Clock, Logger, MetricSource, Random } from '#lib/base';
import type { Bus } from '#lib/bus';
import type { NodeStreams, RequestHandler } from '#lib/client';
import type { KeyPair } from '#lib/pki';
import type { Store } from '#lib/store';
import type { LegacyClaims } from './authn/service-account-claims.ts';
import type { ServiceAccountConfig } from './authn/token-service.ts';
import type { HealthCheck } from './health.ts';
import type { AuditPolicy } from './http/audit/policy.ts';
import type { Settings } from './live-settings.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

export interface ApiServerConfig extends Settings {
  /** `10.43.0.0/16`: the first address is the service `kubernetes`, the tenth the DNS service. */
  readonly serviceCidr: string;
  /** Inclusive. Default 30000-32767. */
  readonly nodePortRange?: { readonly from: number; readonly to: number } | undefined;
  /** Where pods and other hosts reach this server: address of the `kubernetes` endpoints. */
  readonly advertise: { readonly address: string; readonly port: number };
  /** Lifetime of Event objects. Default 1 h. */
  readonly eventTtlSeconds?: number | undefined;
  /** How long a pod create waits for its namespace's service account to appear. Default 5 s. */
  readonly serviceAccountWaitMs?: number | undefined;
  /** Issuers, audiences and limits of service account tokens. */
  readonly serviceAccounts?: ServiceAccountConfig | undefined;
  /** Requests of HTTP that run at the same time, shared by priority levels. Default 600, as Kubernetes' 400 + 200. */
  readonly requestSeats?: number | undefined;
  /** How long a request waits in a queue of its priority level. Default 15 s. */
  readonly requestWaitMs?: number | undefined;
  /** When stopping: how long it still serves all requests while /readyz fails, so that load balancers go elsewhere. Default 0. */
  readonly shutdownDelayMs?: number | undefined;
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
  /** What else runs in this process and counts for itself, for /metrics. */
  readonly metricSources?: readonly MetricSource[] | undefined;
  /** Shown to extension API servers (APIService), with the authority that signed it; absent = they cannot tell users from us. */
  readonly frontProxy?: (KeyPair & { readonly caPem: string }) | undefined;
  /** Exec, attach, logs, port-forward toward nodes; may also be given later by `useNodeStreams`. */
  readonly nodeStreams?: NodeStreams | undefined;
  /** None = nothing is recorded. */
  readonly audit?: AuditDeps | undefined;
  /** More checks of /healthz and /readyz: of what the store leans on. */
  readonly checks?: readonly HealthCheck[] | undefined;
  readonly config: ApiServerConfig;
}

export interface AuditDeps {
  /** Default: writes, reads of secrets and going into containers, without bodies. */
  readonly policy?: AuditPolicy | undefined;
  /** JSON lines. */
  readonly file?: AuditFile | undefined;
  /** Copies of the events. */
  readonly bus?: Pick<Bus, 'publish'> | undefined;
}

/** Set aside when full. Default 100 MB, 10 files, 30 days. */
export interface AuditFile {
  readonly path: string;
  readonly bytesMax?: number | undefined;
  readonly filesMax?: number | undefined;
  readonly ageMsMax?: number | undefined;
}

/** Disposing stops it gracefully: readyz fails first, watches end cleanly, then the listeners close. */
export interface ApiServer extends AsyncDisposable {
  /** For InProcessClient. */
  readonly handler: RequestHandler;
  /** Bound addresses, in the order of `listen`. */
  readonly addresses: readonly ListenAddress[];
  /** For the controller that fills Secrets of type kubernetes.io/service-account-token. */
  readonly serviceAccountTokens: { issueLegacy(claims: LegacyClaims): string };
  /** A renewed certificate, for connections to come. `caPem` as before. */
  useCertificate(pair: { readonly certPem: string; readonly keyPem: string }): void;
  /** All of them, for requests to come: what is absent has its default. Throws Invalid, and nothing has changed. */
  useSettings(settings: Settings): Promise<void>;
  /** The gateway is started after the API server: it gives itself here. */
  useNodeStreams(streams: NodeStreams): void;
}
