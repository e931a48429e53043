// Runs: the list, and one of them.
import { airflowLink, call, make } from "./page.js";
import { accountPicture, changesTable, timePicture } from "./account.js";
import { clearRun, forceRun, inAirflow } from "./airflow.js";
import { chunkBars, wholeBar } from "./chunks.js";
import { replaysOf } from "./replays.js";
import { ago, cell, count, datasetLink, fileName, head, interval, later, moreButton, pill, plural, rejectedLink, runLink, share, size, speed, STATES, took, when } from "./words.js";

const PAGE = 50, LIVE_SECONDS = 2;

export async function showRuns(_, query) {
  const asked = new URLSearchParams({ limit: PAGE, ...pick(query, ["dataset", "status"]) });
  const found = await call(`runs?${asked}`);
  const body = make("tbody", {}, ...found.runs.map(row));
  let longer = false;
  const more = moreButton(found.next, async (after) => {
    const page = await call(`runs?${asked}&${new URLSearchParams({ after })}`);
    body.append(...page.runs.map(row));
    longer = true;
    return page.next;
  });
  const name = query.get("dataset");
  return {
    title: name ? `Runs of ${name}` : "Runs", again: longer ? null : 10,
    nodes: [
      filter(query),
      found.runs.length ? runTable(body) : make("p", { textContent: "There is no such run." }), more,
    ],
  };
}

function pick(query, names) {
  return Object.fromEntries(names.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
}

function filter(query) {
  const now = query.get("status") ?? "";
  const to = (status) => `#/runs?${new URLSearchParams({ ...pick(query, ["dataset"]), ...(status && { status }) })}`;
  return make("nav", { className: "tools", attributes: { "aria-label": "Runs by state" } },
    ...[["", ["all", ""]], ...Object.entries(STATES)].map(([status, [text]]) => make("a", {
      className: "button", href: to(status), textContent: text, attributes: { "data-key": `status ${status}`, ...(status === now && { "aria-current": "true" }) } })));
}

export function runTable(body) {
  return make("table", { className: "cards" },
    head(["Run"], ["State"], ["File"], ["Began"], ["Rows", "number"], ["New", "number"], ["Changed", "number"], ["Rejected", "number"], ["Took", "number"], ["Speed", "number"]), body);
}

export function row(run) {
  const ended = run.finished_at !== null;
  return make("tr", {},
    make("th", { scope: "row" }, runLink(run, `${run.dataset} ${interval(run.version)}`), ...(run.forced ? [make("small", { textContent: "forced" })] : []), ...(run.replay_of ? [make("small", {}, "a replay of ", make("a", { href: `#/runs/${run.replay_of}`, textContent: "rejected rows" }))] : [])),
    cell("State", "", pill(run.status)), cell("File", "file", make("span", { textContent: fileName(run.file), title: run.file })), cell("Began", "", when(run.started_at)),
    cell("Rows", "number", count(run.read)), cell("New", "number", count(run.inserted)), cell("Changed", "number", count(run.updated)),
    cell("Rejected", "number", ...(run.rejected ? [rejectedLink({ run: run.run_id }, count(run.rejected))] : [count(run.rejected)])),
    cell("Took", "number", took(ended ? run.seconds : null)), cell("Speed", "number", speed(ended && run.bytes && run.read !== null ? run.bytes / run.seconds : null)));
}

export async function showRun([runId], _, refresh) {
  const [found, chunks, replays] = await Promise.all([call(`runs/${encodeURIComponent(runId)}`), call(`runs/${encodeURIComponent(runId)}/chunks`), call(`runs?${new URLSearchParams({ replay_of: runId, limit: 20 })}`)]);
  const { run, progress, changes } = found, live = progress.phase !== "ended";
  return {
    title: `${run.dataset} ${interval(run.version)}`, again: live ? LIVE_SECONDS : null,
    nodes: [
      lead(run, found.at), actions(run, refresh), ...reasons(run),
      ...(progress.phase === "loading" || progress.phase === "merging" ? [section("now", "Now", wholeBar(progress))] : []),
      ...(live && chunks.chunks.length ? [section("chunks", "Chunks", await chunkBars(run, progress, chunks, found.at))] : []),
      ...(run.read !== null ? [section("account", "What became of its rows", accountPicture(run))] : []),
      ...(run.rejected && !live ? [section("rejects", "Rejected rows", later(call(`rejected/rules?${new URLSearchParams({ run_id: run.run_id, dataset: run.dataset })}`), ({ rules }) => rulesTable(run, rules)))] : []),
      ...(replays.runs.length ? [section("replays", "Replays of its rejected rows", replaysOf(replays.runs))] : []),
      ...(run.finished_at && run.plan_seconds !== null ? [section("time", "Where the time went", timePicture(run, progress, chunks))] : []),
      ...(changes && run.read !== null && !run.replay_of ? [section("changes", "What changed from the run before", ...changesTable(run, changes))] : []),
      ...(!live && run.chunks > 1 ? [section("chunks", "Chunks", await chunkBars(run, progress, chunks, found.at))] : []),
    ],
  };
}

function section(id, title, ...children) {
  return make("section", { attributes: { "aria-labelledby": id } }, make("h2", { id, textContent: title }), ...children);
}

function lead(run, now) {
  const facts = [
    ["State", pill(run.status)], ["Dataset", datasetLink(run.dataset)], ["Table", run.target], ["Data interval", interval(run.version)],
    ["File", make("span", {}, make("span", { className: "path", textContent: run.file }), ...(run.bytes ? [` (${size(run.bytes)})`] : []))],
    [run.status === "waiting" ? "Waits since" : "Began", when(run.started_at)],
    ...(run.finished_at ? [["Ended", ago(run.finished_at, now)], ["Took", took(run.seconds)]] : []),
    ...(run.forced ? [["Forced", "yes"]] : []),
    ...(run.replay_of ? [["Replay of", make("a", { href: `#/runs/${run.replay_of}`, textContent: "rejected rows of this run" })], ["Asked by", run.asked_by]] : []),
  ];
  return make("dl", { className: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", {}, value))));
}

/** The buttons. Whoever may not press them is told so by Airflow, when it is asked. */
function actions(run, refresh) {
  const tools = make("div", { className: "tools", attributes: { role: "group", "aria-label": "This run" } });
  const place = inAirflow(run);
  if (!place) {
    tools.append(make("span", { className: "quiet", textContent: "It was run on the command line." }));
    return tools;
  }
  if (run.replay_of) {
    tools.append(airflowLink(place.run, "Run in Airflow"), airflowLink(place.log, "Log"));
    return tools;
  }
  tools.append(
    make("button", { type: "button", textContent: "Run again", attributes: { "data-key": "clear" }, onclick: () => clearRun(run, refresh) }),
    ...(run.finished_at === null ? [] : [make("button", { type: "button", textContent: "Force", attributes: { "data-key": "force" }, onclick: () => forceRun(run, refresh) })]),
    airflowLink(place.run, "Run in Airflow"), airflowLink(place.log, "Log"));
  return tools;
}

function reasons(run) {
  const found = [];
  if (run.reason) found.push(make("li", { className: run.status === "failed" ? "bad" : run.status === "skipped" ? "none" : "warn", textContent: run.reason }));
  if (run.confirms) found.push(make("li", { className: "none" }, "The table still holds what ", make("a", { href: `#/runs/${run.confirms}`, textContent: "an earlier run" }), " loaded, so nothing was loaded again."));
  if (run.earlier) found.push(make("li", { className: "none", textContent: `It was ${run.earlier.status} before it was cleared${run.earlier.read === null ? "" : `, with ${plural(run.earlier.read, "row")}`}.` }));
  return found.length ? [make("ul", { className: "notes", attributes: { "aria-label": "What to know" } }, ...found)] : [];
}

function rulesTable(run, rules) {
  return make("table", { className: "narrow" }, head(["Rule"], ["Column"], ["Rows", "number"], ["Of the file", "number"]),
    make("tbody", {}, ...rules.map((one) => make("tr", {},
      make("th", { scope: "row" }, make("a", { href: `#/rejected?${new URLSearchParams({ run: run.run_id, rule: one.rule, column: one.column_name ?? "" })}`, textContent: one.rule })),
      make("td", { textContent: one.column_name ?? "the whole record" }), make("td", { className: "number", textContent: count(one.rows) }),
      make("td", { className: "number", textContent: share(one.rows, run.read) })))));
}
