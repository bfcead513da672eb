/* docs.js - makes the page of /openapi.json: no library, no request but to this server. */

/* ---- Small tools ---- */

/* h("p.wait", {title: "x"}, "text", node): an element; texts are texts, never HTML. */
function h(what, ...rest) {
  const [tag, ...classes] = what.split(".");
  const e = document.createElement(tag);
  if (classes.length) e.className = classes.join(" ");
  for (const x of rest) {
    if (x === null || x === undefined || x === false) continue;
    if (typeof x === "string" || x instanceof Node) e.append(x);
    else if (Array.isArray(x)) e.append(...x);
    else for (const [k, v] of Object.entries(x)) k in e ? (e[k] = v) : e.setAttribute(k, v);
  }
  return e;
}

/* `words` in back quotes become code. */
const prose = text => text.split("`").map((s, i) => (i % 2 ? h("code", s) : s));
const byId = id => document.getElementById(id);
const pretty = value => JSON.stringify(value, null, 2);

function block(text) {
  const pre = h("pre", { tabIndex: 0 }, text);
  const button = h("button", { type: "button" }, "Copy");
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = "Copied";
    } catch { /* plain http: select it, so that a key press copies */
      getSelection().selectAllChildren(pre);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  return h("div.block", pre, button);
}

/* ---- Schemas as words ---- */

let api;

function resolve(s) {
  if (!s?.$ref) return s ?? {};
  return s.$ref.slice(2).split("/").reduce((v, name) => v[name], api);
}

const isNull = s => s.type === "null";
const typesOf = s => [s.type].flat().filter(t => t && t !== "null");
const huge = n => Math.abs(n) > 9e15; /* a bound that only says "64 bits" */

/* " (1 … 128 characters)", or "" where nothing is bounded that needs saying. */
function range(s) {
  const [one, least, most] =
    typesOf(s)[0] === "string" ? ["character", s.minLength, s.maxLength] :
    typesOf(s)[0] === "array" ? ["item", s.minItems, s.maxItems] :
    typesOf(s)[0] === "object" ? ["entry", s.minProperties, s.maxProperties] :
    ["", s.minimum, s.maximum];
  const min = huge(least) || (one && least === 0) ? undefined : least;
  const max = huge(most) || most === 2147483647 ? undefined : most;
  const many = one === "entry" ? "entries" : `${one}s`;
  const unit = one && ` ${(max ?? min) === 1 ? one : many}`;
  if (s.exclusiveMinimum !== undefined) return ` (> ${s.exclusiveMinimum}, ≤ ${max})`;
  if (min !== undefined && max !== undefined) return ` (${min} … ${max}${unit})`;
  if (min !== undefined) return ` (≥ ${min}${unit})`;
  if (max !== undefined) return ` (≤ ${max}${unit})`;
  return "";
}

/* 'string (1 … 128 characters)', 'array of integer', '"a" | "b"' */
function typeText(schema) {
  const s = resolve(schema);
  const several = s.anyOf && !s.properties && s.anyOf.filter(x => !isNull(x));
  if (several) return several.map(typeText).join(" or ");
  if (s.enum) return s.enum.filter(x => x !== null).map(x => JSON.stringify(x)).join(" | ");
  const kind = typesOf(s)[0];
  if (!kind) return "any";
  if (kind === "array") {
    const items = typeText(s.items) + (nullable(s.items) ? " or null" : "");
    return `array${range(s)} of ${/ or | \| /.test(items) ? `(${items})` : items}`;
  }
  if (kind === "object" && s.additionalProperties)
    return `object${range(s)} of ${typeText(s.additionalProperties)}`;
  return (s.format === "date" ? "date" : kind) + range(s);
}

function nullable(schema) {
  return [schema.type].flat().includes("null") || !!schema.anyOf?.some(isNull);
}

/* The objects that a field holds, directly, in an array or as one of several. */
function inner(schema) {
  const s = resolve(schema);
  if (s.properties) return [s];
  if (s.items) return inner(s.items);
  if (s.anyOf) return s.anyOf.flatMap(inner);
  return [];
}

/* [depth, name, field, required] of all fields, those of inner objects after the field that holds them. */
function flat(schema, depth = 0) {
  return Object.entries(schema.properties).flatMap(([name, field]) => [
    [depth, name, field, schema.required?.includes(name)],
    ...(depth < 4 ? inner(field).flatMap(s => flat(s, depth + 1)) : []),
  ]);
}

const headRow = names => h("thead", h("tr", names.map(t => h("th", { scope: "col" }, t))));
const nameCell = (name, required) => h("td.name", name, required && h("b", { title: "required" }, " *"));

function fieldTable(schema) {
  const s = resolve(schema);
  if (!s.properties) return null;
  const fields = flat(s), presets = fields.some(([, , f]) => f.default !== undefined);
  const row = ([depth, name, field, required]) => {
    const about = field.description ?? (field.$ref ? resolve(field).description : undefined);
    return h(`tr.d${depth}`,
      nameCell(name, required),
      h("td.type", typeText(field), required && nullable(field) && " or null"),
      presets && h("td.preset", field.default === undefined ? "" : JSON.stringify(field.default)),
      h("td.about", about ? prose(about) : ""));
  };
  return h("div.scroll",
    s.description && h("p", prose(s.description)),
    h("table.fields", headRow(["Field", "Type", ...(presets ? ["Default"] : []), "About"]),
      h("tbody", fields.map(row))));
}

/* ---- One route ---- */

const anchor = op => op.operationId;
const quote = text => "'" + text.replaceAll("'", "'\\''") + "'";

function curl(method, path, op) {
  const words = ["curl"];
  const body = op.requestBody?.content["application/json"].example;
  if (method !== "GET" && !(method === "POST" && body)) words.push(`-X ${method}`);
  words.push(location.origin + path.replace(/\{(\w+)\}/g, (_, n) => n.toUpperCase()));
  if (op.security.length) words.push('\\\n  -H "Authorization: Bearer $NEXUS_KEY"');
  if (body) words.push("\\\n  -H 'Content-Type: application/json'", `\\\n  -d ${quote(JSON.stringify(body))}`);
  return words.join(" ");
}

function parameterTable(parameters) {
  const row = p => h("tr", nameCell(p.name, p.required), h("td.type", typeText(p.schema)), h("td", p.in),
    h("td.about", p.description ?? ""));
  return h("div.scroll",
    h("table.fields", headRow(["Name", "Type", "In", "About"]), h("tbody", parameters.map(row))));
}

function content(type, c) {
  const json = type.startsWith("application/json");
  return [
    !json && h("h4", type),
    c["x-event"] && h("h4", "What the data of an event holds"),
    fieldTable(c["x-event"] ?? c.schema),
    c.example !== undefined && block(json ? pretty(c.example) : c.example),
  ];
}

function reply(status, response) {
  const r = resolve(response);
  const own = !response.$ref;
  const headers = Object.entries(r.headers ?? {}).map(([n, x]) => h("p", h("code", n), " ", x.description ?? ""));
  return h("details.reply", { open: own && status < "300" },
    h("summary", h("code", status), h("span", prose(r.description))),
    headers,
    Object.entries(r.content ?? {}).flatMap(([type, c]) => content(type, c)).filter(Boolean));
}

function route(method, path, op) {
  const body = op.requestBody?.content["application/json"];
  const all = Object.entries(op.responses);
  const own = all.filter(([, r]) => !r.$ref), shared = all.filter(([, r]) => r.$ref);
  const e = h("details.route", { id: anchor(op) },
    h("summary",
      h(`span.method.${method.toLowerCase()}`, method), h("span.path", path), h("span.what", op.summary),
      h(`span.scope.${op["x-scope"]}`, { title: op.security.length ? "scope of the key" : "no key needed" },
        op["x-scope"])));
  /* What is inside is made when it is looked at first. */
  e.addEventListener("toggle", () => {
    if (!e.open || e.childElementCount > 1) return;
    e.append(h("div.inside",
      op.description && h("p", prose(op.description)),
      h("h3", "Ask"), block(curl(method, path, op)),
      op.parameters && [h("h3", "Parameters"), parameterTable(op.parameters)],
      body && [h("h3", "Request ", h("small", "JSON; * is required")), fieldTable(body.schema),
        body.example && block(pretty(body.example))],
      h("h3", "Answers"), own.map(([s, r]) => reply(s, r)),
      shared.length && [h("h3", "Errors"), ...shared.map(([s, r]) => reply(s, r))],
      tryIt(method, path, op)));
  });
  return e;
}

/* ---- Try it ---- */

function tryIt(method, path, op) {
  const example = op.requestBody?.content["application/json"].example;
  const body = example && h("textarea.mono", { value: pretty(example), spellcheck: false, ariaLabel: "Body" });
  const inputs = (op.parameters ?? []).map(p => ({ p, input: h("input.mono", { placeholder: p.name, ariaLabel: p.name }) }));
  const send = h("button.go", { type: "button" }, "Send");
  const stop = h("button", { type: "button", disabled: true }, "Stop");
  const status = h("output"), out = h("pre", { hidden: true, tabIndex: 0 });
  let running;

  stop.onclick = () => running?.abort();
  send.onclick = async () => {
    const query = new URLSearchParams();
    let url = path;
    for (const { p, input } of inputs) {
      if (p.in === "path") url = url.replace(`{${p.name}}`, input.value.split("/").map(encodeURIComponent).join("/"));
      else if (input.value) query.set(p.name, input.value);
    }
    if (String(query)) url += `?${query}`;
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (byId("key").value) headers.Authorization = `Bearer ${byId("key").value}`;
    running = new AbortController();
    send.disabled = !(stop.disabled = false);
    out.hidden = false;
    out.textContent = status.value = "";
    const begun = performance.now(), since = () => `${Math.round(performance.now() - begun)} ms`;
    try {
      const r = await fetch(url, { method, headers, body: body?.value, signal: running.signal });
      const json = r.headers.get("Content-Type")?.startsWith("application/json");
      status.value = `${r.status} ${r.statusText}, ${since()}`;
      if (json) {
        const text = await r.text();
        try { out.textContent = pretty(JSON.parse(text)); } catch { out.textContent = text; }
      } else {
        const reader = r.body?.pipeThrough(new TextDecoderStream()).getReader();
        for (let x; reader && !(x = await reader.read()).done;) out.append(x.value);
      }
      status.value = `${r.status} ${r.statusText}, ${since()}`;
    } catch (e) {
      status.value = e.name === "AbortError" ? `stopped after ${since()}` : `no answer: ${e.message}`;
    }
    send.disabled = !(stop.disabled = true);
  };
  return h("div.try", h("h3", "Try it"),
    inputs.length > 0 && h("div.row", inputs.map(x => x.input)), body,
    h("div.row", send, stop, status), out);
}

/* ---- The page ---- */

function show() {
  byId("version").textContent = api.info.version;
  byId("intro").replaceChildren(...api.info.description.split("\n\n").map(p => h("p", prose(p))));
  const sections = [], index = [];
  for (const tag of api.tags) {
    const section = h("section", h("h2", tag.name), h("p", prose(tag.description)));
    const list = h("div", h("h2", tag.name));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [verb, op] of Object.entries(item)) {
        if (op.tags[0] !== tag.name) continue;
        const method = verb.toUpperCase();
        const words = `${method} ${path} ${op.summary} ${op["x-scope"]} ${tag.name}`.toLowerCase();
        const card = route(method, path, op);
        const link = h("a", { href: `#${anchor(op)}`, title: op.summary },
          h(`span.method.${verb}`, method), h("span.path", path));
        card.dataset.words = link.dataset.words = words;
        section.append(card);
        list.append(link);
      }
    }
    sections.push(section);
    index.push(list);
  }
  byId("routes").replaceChildren(...sections);
  byId("index").replaceChildren(...index);
}

function filter() {
  const wanted = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const e of document.querySelectorAll("[data-words]"))
    e.hidden = !wanted.every(w => e.dataset.words.includes(w));
  for (const e of document.querySelectorAll("#routes > section, #index > div"))
    e.hidden = !e.querySelector("[data-words]:not([hidden])");
}

function openAnchor() {
  const e = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (!e || e.tagName !== "DETAILS") return;
  e.open = true;
  e.scrollIntoView();
}

byId("keys").addEventListener("submit", e => e.preventDefault());
try {
  const r = await fetch("/openapi.json");
  if (!r.ok) throw new Error(`status ${r.status}`);
  api = await r.json();
  show();
  openAnchor();
  byId("filter").addEventListener("input", filter);
  addEventListener("hashchange", openAnchor);
  byId("index").addEventListener("click", e => {
    if (e.target.closest("a")?.hash === location.hash) openAnchor();
  });
} catch (e) {
  byId("routes").replaceChildren(h("p.wrong", `/openapi.json can't be read: ${e.message}`));
}
