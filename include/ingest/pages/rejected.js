// Rejected rows: by dataset, run, rule and column.
import { call, make } from "./page.js";
import { cell, count, datasetLink, fileName, head, interval, later, moreButton } from "./words.js";

const PAGE = 50, RUNS = 100;

export async function showRejected(_, query) {
  const run = query.get("run");
  const chosen = run ? await call(`runs/${encodeURIComponent(run)}`) : null;
  const dataset = chosen?.run.dataset ?? query.get("dataset");
  const where = { ...(dataset && { dataset }), ...(run && { run_id: run }) };
  const which = new URLSearchParams({ ...where, ...pick(query, ["rule", "column"]) });
  const [found, known, runs] = await Promise.all([
    call(`rejected?${which}&limit=${PAGE}`), call("dataset-names"),
    dataset ? call(`runs?${new URLSearchParams({ dataset, rejected: true, limit: RUNS })}`) : { runs: [] }]);
  const body = make("tbody", {}, ...found.rows.map((row) => line(row, chosen?.run)));
  const more = moreButton(found.next, async (after) => {
    const page = await call(`rejected?${which}&limit=${PAGE}&${new URLSearchParams({ after })}`);
    body.append(...page.rows.map((row) => line(row, chosen?.run)));
    return page.next;
  });
  return {
    title: "Rejected rows", again: null,
    nodes: [
      choice(known.names, dataset, runs.runs, chosen?.run), ...(chosen ? [ofRun(chosen.run)] : []), later(call(`rejected/rules?${new URLSearchParams(where)}`), (rules) => facets(rules.rules, query)),
      ...(found.rows.length ? [tools(which), make("table", { className: "cards rejected" },
        head(["Line", "number"], ["Column"], ["What is wrong"], ["Record, as it is in the file"], ...(run ? [] : [["Run"]])), body), more]
        : [make("p", { textContent: "No row was rejected here." })]),
    ],
  };
}

function pick(query, names) {
  return Object.fromEntries(names.filter((name) => query.has(name)).map((name) => [name, query.get(name)]));
}

/** What can be done with these rows. */
function tools(which) {
  return make("div", { className: "tools", attributes: { role: "group", "aria-label": "These rows" } },
    make("a", { className: "button", href: `rejected.csv?${which}`, download: "", textContent: "Download as CSV" }));
}

/** Which dataset, and which of its runs that have rejected rows. */
function choice(names, dataset, runs, run) {
  const listed = run && !runs.some((one) => one.run_id === run.run_id) ? [run, ...runs] : runs;
  return make("div", { className: "tools" },
    ...select("dataset", "Dataset", dataset, names.map((name) => [name, name]), (name) => ({ ...(name && { dataset: name }) })),
    ...(listed.length ? select("run", "Run", run?.run_id, listed.map((one) => [one.run_id, `${interval(one.version)}${one.rejected === null ? "" : `, ${count(one.rejected)} rows`}`]),
      (id) => (id ? { run: id } : { dataset })) : []));
}

function select(id, title, chosen, options, query) {
  const box = make("select", { id, onchange: () => { location.hash = `#/rejected?${new URLSearchParams(query(box.value))}`; }, attributes: { "data-key": id } },
    make("option", { value: "", textContent: "all" }), ...options.map(([value, textContent]) => make("option", { value, textContent, selected: value === chosen })));
  return [make("label", { htmlFor: id, textContent: title }), box];
}

function ofRun(run) {
  return make("p", {}, "Of the run ", make("a", { href: `#/runs/${run.run_id}`, textContent: `${run.dataset} ${interval(run.version)}` }),
    ", file ", make("span", { className: "path", textContent: run.file }), ".",
    ...(run.confirms ? [" ", make("a", { href: `#/rejected?${new URLSearchParams({ run: run.confirms })}`, textContent: "Its rows are those of an earlier run." })] : []));
}

function facets(rules, query) {
  if (!rules.length) return make("span");
  const all = rules.reduce((sum, one) => sum + one.rows, 0), keep = pick(query, ["dataset", "run"]);
  const link = (text, number, more) => make("a", {
    className: "button", href: `#/rejected?${new URLSearchParams({ ...keep, ...more })}`,
    attributes: { "data-key": `facet ${text}`, ...(same(query, more) && { "aria-current": "true" }) } }, text, " ", make("b", { textContent: count(number) }));
  return make("nav", { className: "tools facets", attributes: { "aria-label": "Rejected rows by rule" } }, link("all", all, {}),
    ...rules.map((one) => link(one.column_name ? `${one.column_name}: ${one.rule}` : one.rule, one.rows, { rule: one.rule, column: one.column_name ?? "" })));
}

const same = (query, more) => ["rule", "column"].every((name) => (query.get(name) ?? undefined) === more[name]);

function line(row, run) {
  const record = make("code", { className: "raw" }, row.before, ...(row.bad ? [make("mark", { textContent: row.bad })] : []), row.after, ...(row.cut ? ["…"] : []));
  return make("tr", {},
    make("th", { scope: "row", className: "number" }, make("span", { textContent: count(row.line_number), title: `${row.file}, byte ${count(row.byte_offset)}` }),
      ...(run && row.file !== run.file ? [make("small", { className: "path", textContent: fileName(row.file) })] : [])),
    cell("Column", "", row.column_name ?? "the whole record"),
    cell("What is wrong", "", make("b", { textContent: row.rule }), ` ${row.reason}`),
    cell("Record", "record", record),
    ...(run ? [] : [cell("Run", "", datasetLink(row.dataset), make("small", {}, make("a", { href: `#/runs/${row.run_id}`, textContent: fileName(row.file) })))]));
}
