// A certificate for the loopback address, and what makes a browser trust it.

import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `{ cert, key, fingerprint }`: two PEM texts, and the digest of the public key as Chromium wants it. */
export function selfSigned() {
  const directory = mkdtempSync(join(tmpdir(), 'gyre-certificate-'));
  try {
    const [certPath, keyPath] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '10'];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
    execFileSync('openssl', [...request, ...names, '-keyout', keyPath, '-out', certPath], { stdio: 'pipe' });
    const [cert, key] = [certPath, keyPath].map((path) => readFileSync(path, 'utf8'));
    const spki = createPublicKey(cert).export({ type: 'spki', format: 'der' });
    return { cert, key, fingerprint: createHash('sha256').update(spki).digest('base64') };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
