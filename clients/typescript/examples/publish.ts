// Publishes into a channel, reads its history, and deals with what can go wrong.
// GYRE_API_KEY=key node dist/examples/publish.js http://localhost:8000
import { ApiClient, NotAvailableError, TransportError, UnknownChannelError, command } from "../lib/index.js";

const api = new ApiClient(process.argv[2] ?? "http://localhost:8000", { apiKey: process.env["GYRE_API_KEY"] ?? "" });

try {
  const { offset, epoch } = await api.publish({ channel: "news", data: { title: "Hello" } });
  console.log(offset > 0 ? `published at ${offset} of ${epoch}` : "published, not kept");

  const [history, presence] = await api.batch([
    command.history({ channel: "news", limit: 10, reverse: true }),
    command.presenceStats({ channel: "news" }),
  ]);
  if (history.ok) console.log("latest:", history.result.publications.map((publication) => publication.data));
  else if (history.error instanceof NotAvailableError) console.log("the channel keeps no history");
  if (presence.ok) console.log(`${presence.result.numUsers} users are there`);
} catch (error) {
  if (error instanceof UnknownChannelError) console.error("no such namespace");
  else if (error instanceof TransportError) console.error(`no answer: ${error.message}`);
  else throw error;
} finally {
  await api.close();
}
