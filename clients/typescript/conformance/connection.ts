import { createHmac, randomBytes } from "node:crypto";
import { type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";

import type { Server } from "./server.js";

const WAIT_MS = 10_000;

/** What a connection is told. */
export type Message = { readonly [key: string]: unknown };

/**
 * A connection of the client protocol, just enough of one to see what calls do: it connects,
 * subscribes, answers pings and keeps what it is sent.
 */
export class Connection {
  /** Id the server gave. */
  client = "";
  readonly #socket: Socket;
  readonly #waiting: ((message: Message) => void)[] = [];
  readonly #messages: Message[] = [];
  #bytes: Buffer;

  private constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    this.#bytes = head;
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#read();
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#keep({ closed: true }));
  }

  /** Connects as a user and subscribes. */
  static async open(server: Server, user: string, channels: readonly string[]): Promise<Connection> {
    const { socket, head } = await upgrade(server.url);
    const connection = new Connection(socket, head);
    connection.#read();
    connection.#send({ id: 1, connect: { token: token(user, server.tokenSecret) } });
    const connected = await connection.#reply(1);
    connection.client = (connected["connect"] as { client: string }).client;
    for (const [at, channel] of channels.entries()) {
      connection.#send({ id: at + 2, subscribe: { channel } });
      await connection.#reply(at + 2);
    }
    return connection;
  }

  /** The next message that has a field of this name. */
  async receive(name: string): Promise<Message> {
    for (;;) {
      const message = await this.#next(name);
      if (message[name] !== undefined) return message[name] as Message;
      if (message["closed"]) throw new Error(`connection ended while it waited for a ${name}`);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #reply(id: number): Promise<Message> {
    for (;;) {
      const message = await this.#next(`reply ${id}`);
      if (message["id"] !== id && !message["closed"]) continue;
      if (message["error"] || message["closed"]) throw new Error(`command ${id}: ${JSON.stringify(message)}`);
      return message;
    }
  }

  #next(what: string): Promise<Message> {
    const kept = this.#messages.shift();
    if (kept) return Promise.resolve(kept);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} in ${WAIT_MS} ms`)), WAIT_MS);
      this.#waiting.push((message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }

  #keep(message: Message): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(message);
    else this.#messages.push(message);
  }

  #send(command: object): void {
    this.#frame(1, Buffer.from(JSON.stringify(command)));
  }

  #frame(opcode: number, payload: Buffer): void {
    const mask = randomBytes(4);
    const length = payload.length;
    const head = length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.alloc(4);
    if (length >= 126) {
      head.set([0x80 | opcode, 0x80 | 126]);
      head.writeUInt16BE(length, 2);
    }
    this.#socket.write(Buffer.concat([head, mask, payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))]));
  }

  /** Takes whole frames from what has arrived. Servers do not split messages this small. */
  #read(): void {
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length < 2) return;
      const opcode = (bytes[0] ?? 0) & 0x0f;
      let length = (bytes[1] ?? 0) & 0x7f;
      let start = 2;
      if (length === 126) {
        if (bytes.length < 4) return;
        length = bytes.readUInt16BE(2);
        start = 4;
      } else if (length === 127) {
        if (bytes.length < 10) return;
        length = Number(bytes.readBigUInt64BE(2));
        start = 10;
      }
      if (bytes.length < start + length) return;
      const payload = bytes.subarray(start, start + length);
      this.#bytes = bytes.subarray(start + length);
      if (opcode === 8) this.#keep({ close: { code: payload.readUInt16BE(0), reason: payload.toString("utf8", 2) } });
      else if (opcode === 9) this.#frame(10, payload);
      else if (opcode === 1) this.#lines(payload.toString("utf8"));
    }
  }

  #lines(text: string): void {
    for (const line of text.split("\n").filter((line) => line !== "")) {
      const message = JSON.parse(line) as Message;
      if (Object.keys(message).length === 0) this.#send({});
      else this.#keep(message);
    }
  }
}

function upgrade(url: string): Promise<{ socket: Socket; head: Buffer }> {
  return new Promise((resolve, reject) => {
    const handshake = request(new URL("/connection/websocket", url), {
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": randomBytes(16).toString("base64"),
      },
    });
    handshake.once("error", reject);
    handshake.once("response", (response: IncomingMessage) => reject(new Error(`status ${response.statusCode}`)));
    handshake.once("upgrade", (_response, socket, head) => resolve({ socket: socket as Socket, head }));
    handshake.end();
  });
}

/** A connection token: a JWT signed with HMAC. */
function token(user: string, secret: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
