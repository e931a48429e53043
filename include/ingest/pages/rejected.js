// Rejected rows: by dataset, run, state, rule and column.
import { by, call, make } from "./page.js";
import { openEditor } from "./edit.js";
import { replayButtons, replayList } from "./replays.js";
import { ago, cell, count, datasetLink, fileName, head, interval, later, moreButton } from "./words.js";

const PAGE = 50, RUNS = 100;
const STATES = { open: ["open", "warn"], corrected: ["corrected", "busy"], replayed: ["replayed", "good"], dismissed: ["dismissed", "none"] };

export async function showRejected(_, query, refresh) {
  const run = query.get("run");
  const chosen = run ? await call(`runs/${encodeURIComponent(run)}`) : null;
  const dataset = chosen?.run.dataset ?? query.get("dataset"), state = stateOf(query);
  const where = { ...(dataset && { dataset }), ...(run && { run_id: run }) };
  const which = new URLSearchParams({ ...where, ...pick(query, ["rule", "column"]), ...(state && { state }) });
  const [found, known, runs, replays] = await Promise.all([
    call(`rejected?${which}&limit=${PAGE}`), call("dataset-names"),
    dataset ? call(`runs?${new URLSearchParams({ dataset, rejected: true, limit: RUNS })}`) : { runs: [] },
    dataset ? replayList({ dataset, run_id: run }, refresh) : null]);
  const view = { dataset, run: chosen?.run, query, counts: make("div"), refresh, replays };
  const body = make("tbody", {}, ...found.rows.map((row) => line(row, view)));
  const more = moreButton(found.next, async (after) => {
    const page = await call(`rejected?${which}&limit=${PAGE}&${new URLSearchParams({ after })}`);
    body.append(...page.rows.map((row) => line(row, view)));
    return page.next;
  });
  view.recount = () => view.counts.replaceChildren(later(call(`rejected/rules?${new URLSearchParams(where)}`), ({ rules }) => counted(rules, view, which)));
  view.recount();
  return {
    title: "Rejected rows", again: null,
    nodes: [
      choice(known.names, dataset, runs.runs, chosen?.run), ...(chosen ? [ofRun(chosen.run)] : []), view.counts, ...(replays ? [replays.node] : []),
      ...(found.rows.length ? [make("table", { className: "cards rejected" },
        head(["Line", "number"], ["Column"], ["What is wrong"], ["Record, as it is in the file"], ["State"], ...(run ? [] : [["Run"]])), body), more]
        : [make("p", {}, state === "open" ? "No rejected row is open here. " : "There is no such rejected row. ", ...(state ? [make("a", { href: address(query, { state: "all" }), textContent: "Show all states" })] : []))]),
    ],
  };
}

const stateOf = (query) => { const state = query.get("state") ?? "open"; return state === "all" ? null : state; };

function pick(query, names) {
  return Object.fromEntries(names.filter((name) => query.has(name)).map((name) => [name, query.get(name)]));
}

const address = (query, more) => `#/rejected?${new URLSearchParams({ ...pick(query, ["dataset", "run", "rule", "column", "state"]), ...more })}`;

/** Which dataset, and which of its runs that have rejected rows. */
function choice(names, dataset, runs, run) {
  const listed = run && !runs.some((one) => one.run_id === run.run_id) ? [run, ...runs] : runs;
  return make("div", { className: "tools" },
    ...select("dataset", "Dataset", dataset, names.map((name) => [name, name]), (name) => ({ ...(name && { dataset: name }) })),
    ...(listed.length ? select("run", "Run", run?.run_id, listed.map((one) => [one.run_id, `${interval(one.version)}${one.replay_of ? ", replay" : ""}${one.rejected === null ? "" : `, ${count(one.rejected)} rows`}`]),
      (id) => (id ? { run: id } : { dataset })) : []));
}

function select(id, title, chosen, options, query) {
  const box = make("select", { id, onchange: () => { location.hash = `#/rejected?${new URLSearchParams(query(box.value))}`; }, attributes: { "data-key": id } },
    make("option", { value: "", textContent: "all" }), ...options.map(([value, textContent]) => make("option", { value, textContent, selected: value === chosen })));
  return [make("label", { htmlFor: id, textContent: title }), box];
}

function ofRun(run) {
  return make("p", {}, "Of the run ", make("a", { href: `#/runs/${run.run_id}`, textContent: `${run.dataset} ${interval(run.version)}` }), ...(run.replay_of ? [", a replay"] : []),
    ", file ", make("span", { className: "path", textContent: run.file }), ".",
    ...(run.confirms ? [" ", make("a", { href: `#/rejected?${new URLSearchParams({ run: run.confirms })}`, textContent: "Its rows are those of an earlier run." })] : []));
}

/** What is known once the rows are counted: how many in each state, by rule, and what can be done with these. */
function counted(rules, view, which) {
  const { query } = view, chosen = rules.filter((one) => !query.has("rule") || same(query, named(one)));
  const sum = (list, name) => list.reduce((all, one) => all + one[name], 0);
  const column = stateOf(query) ?? "rows";
  const states = [...Object.entries(STATES).map(([name, [text]]) => [name, text, sum(chosen, name)]), ["all", "all", sum(chosen, "rows")]];
  return make("div", {},
    make("nav", { className: "tools facets", attributes: { "aria-label": "Rejected rows by state" } }, ...states.map(([name, text, number]) =>
      chip(text, number, address(query, { state: name }), (stateOf(query) ?? "all") === name))),
    facets(rules.filter((one) => one[column]), column, query),
    make("div", { className: "tools", attributes: { role: "group", "aria-label": "These rows" } },
      ...(view.dataset ? replayButtons({ dataset: view.dataset, run: view.run, ...pick(query, ["rule", "column"]), corrected: sum(chosen, "corrected"), open: sum(chosen, "open") }, view.replays) : []),
      ...(sum(chosen, column) ? [make("a", { className: "button", href: `rejected.csv?${which}`, download: "", textContent: "Download as CSV" })] : [])),
    ...(view.dataset || !sum(chosen, "open") ? [] : [make("p", { className: "quiet", textContent: "Choose a dataset to replay its rows." })]));
}

const named = (one) => ({ rule: one.rule, column: one.column_name ?? "" });
const same = (query, more) => ["rule", "column"].every((name) => (query.get(name) ?? undefined) === more[name]);

function chip(text, number, href, now) {
  return make("a", { className: "button", href, attributes: { "data-key": `facet ${text}`, ...(now && { "aria-current": "true" }) } }, text, " ", make("b", { textContent: count(number) }));
}

function facets(rules, column, query) {
  if (!rules.length) return make("span");
  const base = `#/rejected?${new URLSearchParams(pick(query, ["dataset", "run", "state"]))}`;
  return make("nav", { className: "tools facets", attributes: { "aria-label": "Rejected rows by rule" } }, chip("any rule", rules.reduce((sum, one) => sum + one[column], 0), base, same(query, {})),
    ...rules.map((one) => chip(one.column_name ? `${one.column_name}: ${one.rule}` : one.rule, one[column], address(query, named(one)), same(query, named(one)))));
}

function line(row, view) {
  const { run } = view;
  const record = make("code", { className: "raw" }, row.before, ...(row.bad ? [make("mark", { textContent: row.bad })] : []), row.after, ...(row.cut ? ["…"] : []));
  const made = make("tr", { id: `row-${row.id}` },
    make("th", { scope: "row", className: "number" }, make("span", { textContent: count(row.line_number), title: `${row.file}, byte ${count(row.byte_offset)}` }),
      ...(run && row.file !== run.file ? [make("small", { className: "path", textContent: fileName(row.file) })] : [])),
    cell("Column", "", row.column_name ?? "the whole record"),
    cell("What is wrong", "", make("b", { textContent: row.rule }), ` ${row.reason}`, ...(row.earlier ? [make("small", { textContent: "rejected again by a replay" })] : [])),
    cell("Record", "record", record, ...(row.corrected === null ? [] : [make("small", {}, row.state === "corrected" ? "now " : "replayed as ", make("code", { className: "raw", textContent: row.corrected }))])),
    cell("State", "doing", ...state(row), ...(row.run_status === "done" ? [editButton(row, view)] : [])),
    ...(run ? [] : [cell("Run", "", datasetLink(row.dataset), make("small", {}, make("a", { href: `#/runs/${row.run_id}`, textContent: fileName(row.file) })))]));
  return made;
}

function state(row) {
  const [text, tone] = row.again ? ["rejected again", "bad"] : STATES[row.state];
  return [make("span", { className: `state ${tone}`, textContent: text }),
    ...(row.again ? [make("small", { textContent: row.again_reason })] : []),
    ...(row.changed && row.state !== "open" && row.state !== "replayed" ? [make("small", {}, `by ${row.changed_by}, `, ago(row.changed_at, new Date()))] : []),
    ...(row.replay_run ? [make("small", {}, make("a", { href: `#/runs/${row.replay_run}`, textContent: "the replay", attributes: { "aria-label": `The replay of line ${count(row.line_number)}` } }))] : [])];
}

/** Opens the editor below the row. Who comes back from it finds the button again, in the row as it is then. */
function editButton(row, view) {
  const open = row.state === "open" || row.state === "corrected";
  const button = make("button", { type: "button", textContent: open ? "Edit" : "History", attributes: { "data-key": `edit ${row.id}`, "aria-label": `${open ? "Edit" : "History of"} line ${count(row.line_number)}` } });
  button.addEventListener("click", async () => {
    const place = by(`row-${row.id}`);
    button.disabled = true;
    try {
      await openEditor(place, row, (shown) => {
        if (shown) {
          const last = shown.changes.at(-1);
          Object.assign(row, { state: shown.state, corrected: shown.corrected, changed: last?.action, changed_by: last?.who, changed_at: last?.at });
          place.replaceWith(line(row, view));
          view.recount();
        }
        by(`row-${row.id}`).querySelector("button").focus();
      });
    } catch (fault) {
      by("notes").replaceChildren(make("li", { className: "bad", textContent: fault.message }));
    } finally { button.disabled = false; }
  });
  return button;
}
