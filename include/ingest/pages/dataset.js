// A dataset: how it does, its runs, its columns, its file, and SQL that shows its table.
import { call, make } from "./page.js";
import { row as runRow, runTable } from "./run.js";
import { columnsTable } from "./profile.js";
import { ago, daily, interval, rejectedLink } from "./words.js";

const RUNS = 10;

export async function showDataset([name]) {
  const [found, runs, profile] = await Promise.all([call(`datasets/${encodeURIComponent(name)}`), call(`runs?${new URLSearchParams({ dataset: name, limit: RUNS })}`), profileOf(name)]);
  const query = new URLSearchParams({ dataset: name });
  return {
    title: name, again: 10,
    nodes: [
      ...(found.description ? [make("p", { textContent: found.description })] : []),
      facts(found),
      ...(found.notices.length ? [make("ul", { className: "notes", attributes: { "aria-label": "What to know" } }, ...found.notices.map((one) => make("li", { className: one.level === "note" ? "none" : one.level, textContent: one.text })))] : []),
      make("h2", { textContent: "Rows a day" }), make("div", { className: "long" }, daily(found.days, found.at, { width: 720, height: 90 })),
      make("h2", { textContent: "Runs" }),
      runs.runs.length ? runTable(make("tbody", {}, ...runs.runs.map(runRow))) : make("p", { textContent: "It has not run yet. A new DAG is paused: unpause it in Airflow." }),
      make("p", { className: "tools" }, make("a", { href: `#/runs?${query}`, textContent: "All runs" }), rejectedLink({ dataset: name }, "Rejected rows")),
      ...(found.columns.length ? [make("h2", { textContent: "Columns" }), columnsTable(found.columns, profile)] : []),
      ...(found.query ? [make("h2", { id: "query", textContent: "Its table, in SQL" }), text("query", found.query, "sql")] : []),
      ...(found.file ? [make("h2", { id: "file", textContent: `Its file, ${name}.yaml` }), make("p", { className: "tools" }, make("a", { className: "button", href: `#/datasets/${encodeURIComponent(name)}/edit`, textContent: "Edit a copy", attributes: { "data-key": "edit" } })), text("file", found.file, "yaml")] : []),
    ],
  };
}

function facts(found) {
  const known = [
    ["Table", found.target], ["Mode", found.mode], ["Schedule", found.schedule], ["Source", found.source && make("span", { className: "path", textContent: found.source })],
    ["Table loaded", found.loaded_at && ago(found.loaded_at, found.at)], ["Data of", found.loaded_version && interval(found.loaded_version)],
    ["Next file", found.expected && make("span", {}, make("span", { className: "path", textContent: found.expected.file ?? `that of ${interval(found.expected.version)}` }), ", ", ago(found.expected.due, found.at))],
  ].filter(([, value]) => value);
  return make("dl", { className: "facts" }, ...known.map(([title, value]) => make("div", {}, make("dt", { textContent: title }), make("dd", {}, value))));
}

/** All pages of the columns' profile. */
async function profileOf(name) {
  const path = `datasets/${encodeURIComponent(name)}/profile`, found = await call(path);
  for (let next = found.next; next; ) {
    const page = await call(`${path}?${new URLSearchParams({ after: next })}`);
    found.columns.push(...page.columns);
    next = page.next;
  }
  return found;
}

function text(id, content, kind) {
  const block = make("pre", { tabIndex: 0, attributes: { role: "region", "aria-labelledby": id } }, make("code", { className: kind, textContent: content }));
  const button = make("button", { type: "button", textContent: "Copy", attributes: { "data-key": `copy ${id}` }, onclick: () => copy(block, button) });
  return make("div", { className: "text" }, button, block);
}

async function copy(block, button) {
  try {
    await navigator.clipboard.writeText(block.textContent);
    button.textContent = "Copied";
  } catch {  // not over plain http: the text is selected instead
    getSelection().selectAllChildren(block);
    button.textContent = "Selected: press Ctrl+C";
  }
}
