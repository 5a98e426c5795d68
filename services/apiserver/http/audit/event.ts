/**
 * audit.k8s.io/v1 Event of one stage of one request. Pure.
 * Source: k8s.io/apiserver/pkg/apis/audit/v1/types.go, pkg/audit/request.go.
 */
import { isIP } from 'node:net';
import { microTimeText } from '#lib/base';
import type { UserInfo } from '#lib/client';
import type { RequestInfo } from '../request-info.ts';
import type { AuditLevel, AuditStage } from './policy.ts';

export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: AuditLevel;
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditUser;
  readonly impersonatedUser?: AuditUser;
  readonly sourceIPs?: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: ObjectRef;
  readonly responseStatus?: ResponseStatus;
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface AuditUser {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface ObjectRef {
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly resourceVersion?: string;
  readonly subresource?: string;
}

export interface ResponseStatus {
  readonly metadata: object;
  readonly status?: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly code: number;
}

/** What stays the same over the stages of one request. */
export interface AuditedRequest {
  readonly auditId: string;
  readonly level: AuditLevel;
  readonly uri: string;
  readonly info: RequestInfo;
  readonly user: UserInfo | undefined;
  readonly impersonated: UserInfo | undefined;
  readonly sourceIps: readonly string[];
  readonly userAgent: string;
  readonly receivedMs: number;
}

export interface StageFacts {
  readonly stage: AuditStage;
  readonly atMs: number;
  readonly response?: ResponseStatus | undefined;
  /** Of the body: what the path does not say. */
  readonly identity?: Partial<Pick<ObjectRef, 'name' | 'namespace' | 'uid' | 'resourceVersion'>> | undefined;
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

const AUDIT_ID_MAX = 64;
const USER_AGENT_MAX = 1_024;
const TRUNCATED = '...TRUNCATED';
const SOURCES_MAX = 32;

export function auditEvent(request: AuditedRequest, facts: StageFacts): AuditEvent {
  const { info, impersonated, sourceIps, userAgent } = request;
  const { response, requestObject, responseObject, annotations } = facts;
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: request.level,
    auditID: request.auditId.slice(0, AUDIT_ID_MAX),
    stage: facts.stage,
    requestURI: request.uri,
    verb: info.verb,
    user: userOf(request.user),
    ...(impersonated === undefined ? {} : { impersonatedUser: userOf(impersonated) }),
    ...(sourceIps.length === 0 ? {} : { sourceIPs: sourceIps }),
    ...(userAgent === '' ? {} : { userAgent: shortened(userAgent) }),
    ...(info.type === 'resource' ? { objectRef: objectRef(info, facts.identity) } : {}),
    ...(response === undefined ? {} : { responseStatus: response }),
    ...(requestObject === undefined ? {} : { requestObject }),
    ...(responseObject === undefined ? {} : { responseObject }),
    requestReceivedTimestamp: microTimeText(request.receivedMs),
    stageTimestamp: microTimeText(facts.atMs),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** The proxies that the request says it came through, then who is at the other end of the connection. */
export function sourceIps(forwardedFor: string, realIp: string, remote: string): string[] {
  const said = forwardedFor
    .slice(0, 4_096)
    .split(',')
    .map((s) => s.trim())
    .filter((s) => isIP(s) !== 0)
    .slice(0, SOURCES_MAX);
  if (isIP(realIp) !== 0 && !said.includes(realIp)) said.push(realIp);
  const peer = remote.replace(/^::ffff:/, '');
  if (peer !== '' && said.at(-1) !== peer) said.push(peer);
  return said;
}

function userOf(user: UserInfo | undefined): AuditUser {
  if (user === undefined) return {};
  const { name, uid, groups, extra } = user;
  return { username: name, ...(uid === undefined ? {} : { uid }), groups, ...(extra === undefined ? {} : { extra }) };
}

function objectRef(info: Extract<RequestInfo, { type: 'resource' }>, identity: StageFacts['identity']): ObjectRef {
  const name = info.name ?? identity?.name;
  const namespace = info.namespace === '' ? identity?.namespace : info.namespace;
  const ref: Record<keyof ObjectRef, string | undefined> = {
    resource: info.resource,
    namespace,
    name,
    uid: identity?.uid,
    apiGroup: info.group,
    apiVersion: info.version,
    resourceVersion: identity?.resourceVersion,
    subresource: info.subresource,
  };
  return Object.fromEntries(Object.entries(ref).filter(([, v]) => v !== undefined && v !== ''));
}

function shortened(userAgent: string): string {
  return userAgent.length <= USER_AGENT_MAX ? userAgent : `${userAgent.slice(0, USER_AGENT_MAX)}${TRUNCATED}`;
}
