"use strict";

const methods = document.getElementById("methods");
const key = document.getElementById("key");
const find = document.getElementById("find");

function element(name, text, children = []) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

// Follows references inside the document.
function resolve(document, schema) {
  let found = schema ?? {};
  for (let depth = 0; found.$ref && depth < 16; depth += 1) {
    found = found.$ref.slice(2).split("/").reduce((node, part) => node?.[part], document) ?? {};
  }
  return found;
}

function typeName(document, schema) {
  const found = resolve(document, schema);
  if (found.type === "array") return `list of ${typeName(document, found.items)}`;
  if (found.additionalProperties) return `map of ${typeName(document, found.additionalProperties)}`;
  return found.format && found.type !== "object" ? `${found.type} (${found.format})` : found.type ?? "any JSON";
}

function example(document, schema, depth = 0) {
  const found = resolve(document, schema);
  if (found.example !== undefined) return found.example;
  switch (found.type) {
    case "string": return "";
    case "integer": case "number": return 0;
    case "boolean": return false;
    case "array": return [];
    case "object": {
      if (depth > 2 || found.additionalProperties) return {};
      const made = {};
      for (const [name, property] of Object.entries(found.properties ?? {})) {
        made[name] = example(document, property, depth + 1);
      }
      return made;
    }
    default: return {};
  }
}

// A first request worth sending: what most callers fill in.
const starters = {
  publish: { channel: "news", data: { text: "hello" } },
  broadcast: { channels: ["news", "sport"], data: { text: "hello" } },
  batch: { commands: [{ publish: { channel: "news", data: { text: "hello" } } }], parallel: false },
  presence: { channel: "news" },
  presence_stats: { channel: "news" },
  history: { channel: "news", limit: 10 },
  history_remove: { channel: "news" },
  subscribe: { user: "1", channel: "news" },
  unsubscribe: { user: "1", channel: "news" },
  disconnect: { user: "1" },
  refresh: { user: "1", expire_at: 0 },
  channels: { pattern: "" },
  info: {},
};

async function send(path, body, output) {
  output.textContent = "…";
  const headers = { "Content-Type": "application/json" };
  if (key.value) headers["X-API-Key"] = key.value;
  const started = performance.now();
  try {
    const response = await fetch(path, { method: "POST", headers, body });
    const took = (performance.now() - started).toFixed(1);
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    output.textContent = `${response.status} ${response.statusText} · ${took} ms\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

function show(document, path, operation) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const fields = Object.entries(resolve(document, schema).properties ?? {});
  const list = element("dl");
  for (const [name, property] of fields) {
    const about = [typeName(document, property), resolve(document, property).description ?? property.description];
    list.append(element("dt", name), element("dd", about.filter(Boolean).join(" — ")));
  }
  const method = path.split("/").pop();
  const input = element("textarea");
  input.spellcheck = false;
  input.value = JSON.stringify(starters[method] ?? example(document, schema), null, 2);
  const output = element("pre");
  const button = element("button", "Send");
  button.addEventListener("click", () => send(path, input.value, output));
  const summary = element("summary", "", [element("code", path), element("span", operation.summary ?? "")]);
  const details = element("details", "", [
    summary, element("p", operation.description ?? ""), list, input, button, output,
  ]);
  details.dataset.path = path;
  methods.append(details);
}

async function start() {
  const document_ = await (await fetch("openapi.json")).json();
  document.getElementById("about").textContent = document_.info?.description ?? "";
  for (const [path, item] of Object.entries(document_.paths ?? {})) {
    if (item.post) show(document_, path, item.post);
  }
}

find.addEventListener("input", () => {
  for (const details of methods.children) details.hidden = !details.dataset.path.includes(find.value.trim());
});

start().catch((error) => { methods.textContent = String(error); });
