// What may stand at a place of a dataset file, by the file's JSON Schema. It knows YAML as far as dataset files use it.

/** Suggestions for the word before `cursor`: what to put from `from` to `cursor`, with what it means. */
export function suggest(text, cursor, schema) {
  const start = text.lastIndexOf("\n", cursor - 1) + 1, line = text.slice(start, cursor);
  if (/(^|\s)#/.test(line)) return { from: cursor, options: [] };
  const place = placeIn(line, parents(text.slice(0, start), line));
  const node = at(schema, place.path), from = cursor - place.word.length;
  const options = place.value ? values(schema, node, place.path, text) : keys(schema, node, taken(text, place));
  const word = place.word.toLowerCase();
  return { from, options: options.filter(({ label }) => label.toLowerCase().startsWith(word) && label !== place.word) };
}

/** The keys that the line stands in: those above it that are indented less, from the outermost one. */
function parents(above, line) {
  let indent = line.match(/^ */)[0].length;
  const path = [];
  for (const other of above.split("\n").reverse()) {
    const found = other.match(/^( *)("[^"]*"|'[^']*'|[\w-]+):(\s|$)/);
    if (!found || found[1].length >= indent) continue;
    path.unshift(plain(found[2]));
    indent = found[1].length;
    if (!indent) break;
  }
  return path;
}

/** Where the end of a line stands: within braces, behind a colon, or at a key. */
function placeIn(line, path) {
  const block = line.match(/^ *(?:- +)?("[^"]*"|'[^']*'|[\w-]+): +(.*)$/);
  if (!block) return { path, value: /^ *- /.test(line), word: line.match(/[\w-]*$/)[0], braces: null };
  let inner = [...path, plain(block[1])], rest = block[2], braces = null;
  for (let open = lastOpen(rest); open; open = null) {
    braces = rest;
    if (open.mark === "[") return { path: inner.concat(open.keys), value: true, word: rest.match(/[\w()@,.-]*$/)[0].split(",").at(-1), braces };
    inner = inner.concat(open.keys);
    rest = open.rest;
    const pair = rest.match(/^\s*("[^"]*"|'[^']*'|[\w-]+):\s+(.*)$/);
    if (!pair) return { path: inner, value: false, word: rest.match(/[\w-]*$/)[0], braces };
    inner = [...inner, plain(pair[1])];
    rest = pair[2];
  }
  return { path: inner, value: true, word: rest.replace(/^["']/, ""), braces };
}

/** The innermost brace or bracket that is not closed, the keys that lead to it, and what stands behind its last comma. */
function lastOpen(text) {
  const open = [];
  let quote = null, from = 0;
  for (let n = 0; n < text.length; n++) {
    const letter = text[n];
    if (quote) { if (letter === quote) quote = null; continue; }
    if (letter === '"' || letter === "'") quote = letter;
    else if (letter === "{" || letter === "[") { open.push({ mark: letter, key: text.slice(from, n).match(/([\w-]+):\s*$/)?.[1] }); from = n + 1; }
    else if (letter === "}" || letter === "]") open.pop();
    else if (letter === ",") from = n + 1;
  }
  if (!open.length) return null;
  return { mark: open.at(-1).mark, keys: open.map(({ key }) => key).filter(Boolean), rest: text.slice(from) };
}

const plain = (key) => key.replace(/^["']|["']$/g, "");

/** The part of the schema that a path leads to; null where the schema says nothing of it. */
function at(schema, path) {
  let nodes = [schema];
  for (const key of path) nodes = nodes.flatMap((node) => alternatives(schema, node)).flatMap((node) => [node.properties?.[key], node.properties && key in node.properties ? null : node.additionalProperties, node.items]).filter((node) => node && typeof node === "object");
  return nodes[0] ?? null;
}

function alternatives(schema, node) {
  if (node?.$ref) return alternatives(schema, node.$ref.slice(2).split("/").reduce((found, key) => found[key], schema));
  return node?.anyOf ? node.anyOf.flatMap((one) => alternatives(schema, one)).concat(node) : node ? [node] : [];
}

function keys(schema, node, present) {
  const known = Object.assign({}, ...alternatives(schema, node).map(({ properties }) => properties ?? {}));
  return Object.entries(known).filter(([key]) => !present.has(key)).map(([key, one]) => ({ label: key, insert: `${key}: `, detail: one.description ?? "" }));
}

/** Keys that the same mapping has already: of the whole file, or within the braces of this line. */
function taken(text, { path, braces }) {
  const found = braces !== null ? braces.matchAll(/([\w-]+):/g) : path.length ? [] : text.matchAll(/^([\w-]+):/gm);
  return new Set([...found].map(([, key]) => key));
}

function values(schema, node, path, text) {
  const all = alternatives(schema, node), detail = node?.description ?? "";
  const words = new Set(all.flatMap((one) => [...(one.enum ?? []), ...(one.const !== undefined ? [one.const] : []),
    ...(one.type === "boolean" ? ["true", "false"] : []), ...(one.type === "null" ? ["null"] : []), ...(one.examples ?? []).filter((example) => typeof example === "string")]));
  if (typeof node?.default === "string" && node.default) words.add(node.default);
  if (["key", "version"].includes(path.join("."))) for (const name of columns(text)) words.add(name);
  const quoted = (word) => (/[,@{}[\]:#&*!|>%`"']/.test(word) ? `"${word}"` : word);
  return [...words].map((word) => ({ label: String(word), insert: quoted(String(word)), detail: word === node?.default ? `The default. ${detail}` : detail }));
}

/** The names of the file's own columns. */
function columns(text) {
  const part = text.match(/^columns:\s*\n((?:[ #].*\n?|\s*\n)*)/m)?.[1] ?? "", indent = part.match(/^( +)[\w"']/m)?.[1].length ?? 2;
  return [...part.matchAll(/^( +)([A-Za-z_]\w*):/gm)].filter(([, space]) => space.length === indent).map(([, , name]) => name);
}
