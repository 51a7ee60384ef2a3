// What the application decides. How it is asked is none of its business: payloads are values here.

const USERS = { 'session-alice': 'alice', 'session-bob': 'bob', 'session-brief': 'brief' };

const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

export class Application {
  /** How often each event was asked about. */
  asked = {};

  /** @param publish publishes through the server API: `(channel, data)` */
  constructor(publish) {
    this.publishes = publish;
  }

  /** Answers a question about `event`; `headers` are those the server passed on. */
  async answer(event, request, headers) {
    this.asked[event] = (this.asked[event] ?? 0) + 1;
    return this[event](request, headers);
  }

  connect({ data }) {
    const user = USERS[data?.session];
    if (!user) return { disconnect: { code: 4501, reason: 'unknown session' } };
    return {
      result: {
        user,
        data: { hello: user },
        info: { name: user.toUpperCase() },
        meta: { role: user === 'alice' ? 'admin' : 'guest' },
        channels: [`lobby:${user}`],
        expire_at: user === 'brief' ? inSeconds(2) : 0,
      },
    };
  }

  refresh({ user, meta }) {
    if (user !== 'brief' || meta.role !== 'guest') return { result: { expired: true } };
    return { result: { expire_at: inSeconds(300) } };
  }

  rpc({ user, method, data, meta }, headers) {
    switch (method) {
      case 'who':
        return { result: { data: { user, role: meta.role } } };
      case 'sum':
        return { result: { data: data.reduce((sum, number) => sum + number, 0) } };
      case 'locale':
        return { result: { data: headers['x-locale'] ?? null } };
      case 'asked':
        return { result: { data: this.asked[data] ?? 0 } };
      default:
        return { error: { code: 1404, message: 'no such method' } };
    }
  }

  subscribe({ user, channel, data }) {
    if (user === 'bob' && channel !== 'team:bob') return { error: { code: 1403, message: 'not your team' } };
    return { result: { data: { asked: data }, expire_at: data?.brief ? inSeconds(2) : 0 } };
  }

  publish({ user, data }) {
    if (!data.text) return { error: { code: 1400, message: 'say something' } };
    return { result: { data: { by: user, text: data.text.replaceAll('darn', '****') } } };
  }

  sub_refresh() {
    return { result: { expire_at: inSeconds(300) } };
  }

  async cache_empty({ channel }) {
    await this.publishes(channel, { from: 'database' });
    return { result: { populated: true } };
  }
}
