/**
 * The one list of subjects. First token `berth`, then what it is about; tokens made from names are escaped, because a NATS
 * token may hold neither dots nor wildcards nor spaces.
 */
export const Subjects = {
  /** A copy of an Event object. */
  event: (namespace: string): string => `berth.events.${token(namespace)}`,
  /** A node's session began or ended at this replica. */
  session: (nodeName: string): string => `berth.sessions.${token(nodeName)}`,
  /** A copy of an audit event about an object of this namespace. */
  audit: (namespace: string): string => `berth.audit.${token(namespace)}`,
  allAudit: 'berth.audit.>',
  allEvents: 'berth.events.>',
  allSessions: 'berth.sessions.>',
} as const;

/** Reversible: `%` and two hex digits stand for a byte that a token must not hold. */
export function token(name: string): string {
  if (name === '') return '%';
  return name.replace(/[^A-Za-z0-9_-]/gu, (ch) =>
    [...Buffer.from(ch)].map((b) => `%${b.toString(16).padStart(2, '0')}`).join(''),
  );
}

/** Whether a NATS pattern matches a subject (docs.nats.io, Subject-Based Messaging). */
export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const given = subject.split('.');
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '>') return given.length > i;
    if (i >= given.length || (wanted[i] !== '*' && wanted[i] !== given[i])) return false;
  }
  return wanted.length === given.length;
}
