import { randomUUID } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import { ApiClient } from "../lib/index.js";
import { type Scenario, run } from "./scenario.js";
import { type Server, findServer } from "./server.js";

// Compiled, this file is two directories below the package.
const folder = new URL("../../../conformance/", import.meta.url);
const files = (await readdir(new URL("scenarios/", folder))).filter((file) => file.endsWith(".json")).sort();
const skip = process.env["GYRE_BIN"] || process.env["GYRE_API_URL"] ? false : "neither GYRE_BIN nor GYRE_API_URL is set";

describe("conformance", { skip }, () => {
  let server: Server | undefined;
  before(async () => {
    server = await findServer(new URL("server.json", folder));
  });
  after(() => server?.stop());

  for (const errorMode of ["response", "transport"] as const) {
    for (const file of files) {
      test(`${file}, errors in ${errorMode}`, async () => {
        if (!server) throw new Error("no server");
        const scenario = JSON.parse(await readFile(new URL(`scenarios/${file}`, folder), "utf8")) as Scenario;
        const api = new ApiClient(server.url, { apiKey: server.apiKey, errorMode });
        await run(scenario, api, server, randomUUID().slice(0, 8));
        await api.close();
      });
    }
  }
});
