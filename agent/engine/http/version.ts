/** Which versions of the API are spoken. Source: moby api/server/middleware/version.go at 28.5. */
import { badParameter } from './contract.ts';

export const NEWEST = 51;
export const OLDEST = 24;
export const NEWEST_TEXT = `1.${NEWEST}`;
export const OLDEST_TEXT = `1.${OLDEST}`;

/** 47 for `1.47`; throws 400 for one that is not spoken, in words that clients show. */
export function minorVersion(text: string | undefined): number {
  if (text === undefined) return NEWEST;
  const [major = 0, minor = 0] = text.split('.').map(Number);
  if (major < 1 || (major === 1 && minor < OLDEST))
    throw badParameter(
      `client version ${text} is too old. Minimum supported API version is ${OLDEST_TEXT}, please upgrade your client to a newer version`,
    );
  if (major > 1 || minor > NEWEST)
    throw badParameter(`client version ${text} is too new. Maximum supported API version is ${NEWEST_TEXT}`);
  return minor;
}
