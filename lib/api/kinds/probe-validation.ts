/** Probes and lifecycle hooks. Source: pkg/apis/core/validation validateProbe, validateHandler, ValidateLifecycle. */
import { type FieldError, forbidden, invalid, required } from '../field-error.ts';
import type {
  Container,
  ExecAction,
  GRPCAction,
  HTTPGetAction,
  Lifecycle,
  PodSpec,
  Probe,
  SleepAction,
  TCPSocketAction,
} from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { httpHeaderName, portName, portNumber } from '../validation/names.ts';

interface Handler {
  exec?: ExecAction | undefined;
  httpGet?: HTTPGetAction | undefined;
  tcpSocket?: TCPSocketAction | undefined;
  grpc?: GRPCAction | undefined;
  sleep?: SleepAction | undefined;
}

export function validateProbes(c: Container, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateProbe(c.livenessProbe, `${path}.livenessProbe`, 'must be 1'));
  errors.add(...validateProbe(c.readinessProbe, `${path}.readinessProbe`, undefined));
  errors.add(...validateProbe(c.startupProbe, `${path}.startupProbe`, 'must be 1'));
  if (c.readinessProbe?.terminationGracePeriodSeconds !== undefined)
    errors.add(
      invalid(
        `${path}.readinessProbe.terminationGracePeriodSeconds`,
        c.readinessProbe.terminationGracePeriodSeconds,
        'must not be set for readinessProbes',
      ),
    );
  return errors.list;
}

function validateProbe(probe: Probe | undefined, path: string, oneSuccess: string | undefined): FieldError[] {
  const errors = new Errors();
  if (probe === undefined) return [];
  errors.add(...validateHandler(probe, path));
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const)
    errors.notNegative(`${path}.${name}`, probe[name]);
  const grace = probe.terminationGracePeriodSeconds;
  if (typeof grace === 'number' && grace <= 0)
    errors.add(invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'));
  if (oneSuccess !== undefined && probe.successThreshold !== 1)
    errors.add(invalid(`${path}.successThreshold`, probe.successThreshold ?? 0, oneSuccess));
  return errors.list;
}

export function validateLifecycle(lifecycle: Lifecycle | undefined, spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  for (const name of ['postStart', 'preStop'] as const) {
    const handler = lifecycle?.[name];
    if (handler !== undefined) errors.add(...validateHandler(handler, `${path}.${name}`));
  }
  const signal = lifecycle?.stopSignal;
  if (signal !== undefined) {
    if (spec.os === undefined)
      errors.add(forbidden(`${path}.stopSignal`, 'may not be set for containers with empty `spec.os.name`'));
    else if (!/^SIG[A-Z0-9]+([+-]\d+)?$/.test(signal))
      errors.add(invalid(`${path}.stopSignal`, signal, 'must be a signal name such as SIGTERM'));
  }
  return errors.list;
}

/** Exactly one action. */
function validateHandler(h: Handler, path: string): FieldError[] {
  const errors = new Errors();
  let count = 0;
  const action = <K extends keyof Handler>(
    name: K,
    validate: (a: NonNullable<Handler[K]>, at: string) => void,
  ): void => {
    const a = h[name];
    if (a === undefined || a === null) return;
    if (++count > 1) errors.add(forbidden(`${path}.${name}`, 'may not specify more than 1 handler type'));
    else validate(a, `${path}.${name}`);
  };
  action('exec', (a, at) => {
    if ((a.command?.length ?? 0) === 0) errors.add(required(`${at}.command`));
  });
  action('httpGet', (a, at) => {
    if (!a.path) errors.add(required(`${at}.path`));
    errors.add(...validatePort(a.port, `${at}.port`));
    errors.oneOf(`${at}.scheme`, a.scheme, ['HTTP', 'HTTPS']);
    eachItem(a.httpHeaders, `${at}.httpHeaders`, (header, where) =>
      errors.check(`${where.replace(/\[\d+\]$/, '')}`, header.name, httpHeaderName),
    );
  });
  action('tcpSocket', (a, at) => errors.add(...validatePort(a.port, `${at}.port`)));
  action('grpc', (a, at) => {
    for (const m of portNumber(a.port)) errors.add(invalid(`${at}.port`, a.port, m));
  });
  action('sleep', (a, at) => {
    if (a.seconds < 0) errors.add(invalid(at, a.seconds, 'must be greater than or equal to 0'));
  });
  if (count === 0) errors.add(required(path, 'must specify a handler type'));
  return errors.list;
}

export function validatePort(port: number | string, path: string): FieldError[] {
  const messages = typeof port === 'number' ? portNumber(port) : portName(port);
  return messages.map((m) => invalid(path, port, m));
}
