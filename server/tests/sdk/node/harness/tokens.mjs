// Tokens an application's backend would issue.

import { createHmac } from 'node:crypto';

const SECRET = 'sdk-test-secret';

const encoded = (value) => Buffer.from(value).toString('base64url');

/** A JWT with these claims, signed with the secret of the server or another. */
export function token(claims, secret = SECRET) {
  const text = `${encoded(JSON.stringify({ alg: 'HS256', typ: 'JWT' }))}.${encoded(JSON.stringify(claims))}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** Unix time in `seconds` from now, as token claims have it. */
export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;
