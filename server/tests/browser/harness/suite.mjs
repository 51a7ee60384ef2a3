// Pages of a browser, a site they come from, and the server they talk to.

import { chromium } from 'playwright-core';
import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, afterEach, before, describe } from 'node:test';
import { Events } from '../../sdk/node/harness/events.mjs';
import { Server } from '../../sdk/node/harness/server.mjs';
import { selfSigned } from './certificate.mjs';
import { inSeconds, token } from '../../sdk/node/harness/tokens.mjs';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const EXECUTABLE = process.env.CHROMIUM ?? PLACES.find((place) => existsSync(place));

// A namespace whose subscribers learn of each other, beside those of the shared configuration.
const NAMESPACES = [
  { name: 'plain', allow_subscribe_for_client: true },
  { name: 'seen', allow_subscribe_for_client: true, presence: true, join_leave: true, force_push_join_leave: true },
  { name: 'talk', allow_subscribe_for_client: true, allow_publish_for_subscriber: true },
  { name: 'feed', allow_subscribe_for_client: true, force_recovery: true, history_size: 300, history_ttl: '300s' },
];

/** Declares the scenarios of `body(rig)`, with `config` laid over the server's; `tls` encrypts its main port. */
export function suite(name, config, ...rest) {
  const [{ tls = false }, body] = rest.length > 1 ? rest : [{}, ...rest];
  describe(name, () => {
    const rig = new Rig(tls);
    before(() => rig.start(config));
    afterEach(() => rig.closePages());
    after(() => rig.stop());
    body(rig);
  });
}

class Rig {
  #browser;
  #contexts = [];
  #channels = 0;
  #certificate;

  constructor(tls) {
    this.#certificate = tls ? selfSigned() : undefined;
  }

  async start(config) {
    this.site = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html>'));
    this.site.listen(0, '127.0.0.1');
    await once(this.site, 'listening');
    const { cert, key, fingerprint } = this.#certificate ?? {};
    this.server = await Server.start({
      ...config,
      http_server: { ...config.http_server, ...(cert && { tls: { enabled: true, cert_pem: cert, key_pem: key } }) },
      client: { ...config.client, allowed_origins: [this.origin('127.0.0.1')] },
      channel: { namespaces: NAMESPACES },
    });
    const trust = fingerprint ? [`--ignore-certificate-errors-spki-list=${fingerprint}`] : [];
    // For QUIC a browser wants a certificate of an authority it came with, unless told otherwise.
    if (config.http_server?.http3?.enabled) {
      trust.push(`--origin-to-force-quic-on=127.0.0.1:${this.server.port}`, '--webtransport-developer-mode');
    }
    const args = ['--no-sandbox', '--disable-gpu', ...trust];
    this.#browser = await chromium.launch({ executablePath: EXECUTABLE, args });
  }

  async stop() {
    await this.#browser?.close();
    this.site.close();
    this.site.closeAllConnections();
    await this.server?.stop();
  }

  /** An origin of the site; the server allows that of `127.0.0.1` alone. */
  origin(host) {
    return `http://${host}:${this.site.address().port}`;
  }

  /** URL of an endpoint of the server. */
  url(path, { scheme = this.#certificate ? 'https' : 'http', ...query } = {}) {
    const url = new URL(`${scheme}://127.0.0.1:${this.server.port}${path}`);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, JSON.stringify(value));
    return url.href;
  }

  /** A connect request of `user` for these channels. */
  request(user, ...channels) {
    const subs = Object.fromEntries(channels.map((channel) => [channel, {}]));
    return { token: token({ sub: user, exp: inSeconds(600) }), subs };
  }

  /** A channel of this namespace no other scenario uses. */
  channel(namespace) {
    this.#channels += 1;
    return `${namespace}:b${this.#channels}`;
  }

  /** A page of the site and what it tells by `tell(name, detail)`: `{ page, events }`. */
  async page({ host = '127.0.0.1' } = {}) {
    const context = await this.#browser.newContext();
    this.#contexts.push(context);
    const page = await context.newPage();
    const told = new EventEmitter();
    await page.exposeFunction('tell', (name, detail) => void told.emit(name, detail));
    await page.goto(this.origin(host));
    return { page, events: new Events(told, ['open', 'message', 'error', 'end', 'close']) };
  }

  async closePages() {
    for (const context of this.#contexts.splice(0)) await context.close();
  }

  /** Publishes `{ n, text }` for each number, one after the other. */
  async publishNumbers(channel, from, to, text) {
    for (let n = from; n <= to; n += 1) await this.server.publish(channel, { n, text });
  }
}

/** Payloads of publications among what a page told. */
export const payloads = (messages) => messages.filter(({ pub }) => pub).map(({ pub }) => pub.data);

/** What `publishNumbers` publishes. */
export const numbers = (from, to, text) => Array.from({ length: to - from + 1 }, (_, i) => ({ n: from + i, text }));
