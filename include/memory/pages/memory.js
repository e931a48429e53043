// The list of processes, and which of list and process is shown: the part of the address after `#` tells.
import { airflowLink, by, bytes, call, count, make } from "./page.js";
import { spark } from "./plot.js";
import { grouped, sums } from "./groups.js";
import { hoursButtons, showProcess } from "./process.js";
import { taskSection } from "./tasks.js";
import { HOURS, VERDICTS, ZONE, address, lasting, left, moment, rate, span, why } from "./words.js";

const LOOK_MS = 60000;
const UNJUDGED = [undefined, null, "not enough data", "warming up"];
const unfolded = new Set(); // keys of groups
let groups = [], picked = null; // the hours that the reader chose
let hours = 48, ended = false, last = null, fitted = false;

/** The row of a group, and where it is unfolded, those of its processes. */
function rows(group) {
  if (group.processes.length === 1) return [row(group.processes[0])];
  const open = unfolded.has(group.key), sum = sums(group.processes), { worst } = sum, verdict = worst.verdict ?? "not judged yet";
  const button = make("button", { type: "button", className: "fold", textContent: `${count(group.processes.length)} × ${worst.role}`, attributes: { "aria-expanded": String(open), "data-group": group.key },
    onclick: () => { if (!unfolded.delete(group.key)) unfolded.add(group.key); fill(); } });
  const known = sum.spark.filter((value) => value !== null);
  const curve = spark(sum.spark, known.length ? `Memory of all over ${span(hours)}: from ${bytes(known[0])} to ${bytes(known.at(-1))}` : "No look in this time");
  const alike = group.processes.filter((one) => one.verdict === worst.verdict).length;
  const line = make("tr", { className: `group ${VERDICTS[verdict] ?? "none"}${worst.ended ? " ended" : ""}` },
    make("td", {}, make("span", { className: "state", textContent: verdict }), make("small", { textContent: `${alike === group.processes.length ? "all" : count(alike)} of ${count(group.processes.length)}` })),
    make("th", { scope: "row" }, button, make("small", { textContent: `${worst.host}${worst.ended ? " · ended" : ""}` }),
      ...(worst.verdict in VERDICTS && worst.verdict !== "steady" ? [make("p", { className: "why" }, make("a", { href: `#/${address(worst)}`, textContent: `pid ${worst.pid}` }), `: ${why(worst)}`)] : [])),
    make("td", { attributes: { "data-label": `Last ${span(hours)}` } }, curve),
    make("td", { className: "number", attributes: { "data-label": "Now" } }, make("b", { textContent: bytes(sum.used_bytes) }), make("small", { textContent: "sum" })),
    growth(worst), remaining(worst));
  line.addEventListener("click", (event) => { if (!event.target.closest("a, button") && !String(getSelection())) button.click(); });
  return [line, ...(open ? group.processes.map((one) => { const member = row(one); member.classList.add("member"); return member; }) : [])];
}

function row(process) {
  const link = make("a", { href: `#/${address(process)}`, className: "name", textContent: process.role });
  const facts = `${process.host} · pid ${process.pid} · ${process.ended ? `ended ${moment(process.seen_at)}` : `up ${lasting((Date.now() - new Date(process.started_at)) / 1000)}`}`;
  const verdict = process.verdict ?? "not judged yet", known = process.spark.filter((value) => value !== null);
  const curve = spark(process.spark, known.length ? `Memory over ${span(hours)}: from ${bytes(known[0])} to ${bytes(known.at(-1))}` : "No look in this time");
  const line = make("tr", { className: `${VERDICTS[verdict] ?? "none"}${process.ended ? " ended" : ""}` },
    make("td", {}, make("span", { className: "state", textContent: verdict }), make("small", { textContent: kind(process) })),
    make("th", { scope: "row" }, link, make("small", { textContent: facts }), make("p", { className: "why", textContent: why(process) })),
    make("td", { attributes: { "data-label": `Last ${span(hours)}` } }, curve),
    make("td", { className: "number", textContent: bytes(process.used_bytes), attributes: { "data-label": "Now" } }),
    growth(process), remaining(process));
  line.addEventListener("click", (event) => { if (!event.target.closest("a") && !String(getSelection())) location.hash = link.hash; });
  return line;
}

const kind = (process) => (process.kind && process.kind !== "none" ? process.kind : "");

function growth(process) {
  const attributes = { "data-label": "Growth, MB/h" };
  if (process.rate === null) return make("td", { className: "number nothing", textContent: "–", attributes });
  return make("td", { className: "number", attributes }, make("b", { textContent: rate(process.rate, "+") }),
    make("small", { textContent: `${rate(process.rate_low)} to ${rate(process.rate_high)}` }));
}

function remaining(process) {
  const text = process.ended ? null : left(process);
  const limit = process.limit_bytes === null ? "" : `of ${bytes(process.limit_bytes)}`;
  return make("td", { className: `number${text ? "" : " nothing"}`, attributes: { "data-label": "Time left" } }, make("b", { textContent: text ?? "–" }), make("small", { textContent: text ? limit : "" }));
}

function summary(processes) {
  const here = processes.filter((one) => !one.ended), of = (verdict) => here.filter((one) => one.verdict === verdict).length;
  if (!here.length) return "";
  const young = here.filter((one) => UNJUDGED.includes(one.verdict)).length, counted = `${here.length} ${here.length === 1 ? "process" : "processes"}`;
  if (young === here.length) return `${counted}, ${young === 1 ? "" : "all "}too young to judge`;
  const leaking = of("leaking"), words = [leaking ? `${leaking} leaking` : "none leaking"];
  if (of("growing (watch)")) words.push(`${of("growing (watch)")} to watch`);
  if (young) words.push(`${young} too young to judge`);
  return `${counted}: ${words.join(", ")}`;
}

function emptyState() {
  const text = ended ? `No process was seen in the last ${span(hours)}.` : "No process is being watched yet.";
  return [make("h2", { textContent: text }),
    make("p", { textContent: "A watcher starts with Airflow and looks at its long-lived processes once a minute; the first looks come here within a few minutes. The DAG audit_memory judges each process every ten minutes by how its memory went, and has profiled what looks like a leak. The first verdicts come when a process is an hour old; one that grows very fast has its verdict after twelve minutes. If this stays empty, see watch.log in the folder of the agents." }),
    make("p", {}, airflowLink("dags/audit_memory", "Open the DAG audit_memory"))];
}

function tools() {
  const shown = make("button", { type: "button", textContent: "Show ended processes", attributes: { "aria-pressed": String(ended) }, onclick: () => { ended = !ended; refresh(); } });
  return [hoursButtons(hours, pick), shown,
    make("a", { className: "json", href: `processes?hours=${hours}&ended=${ended}`, download: "memory-processes.json", textContent: "JSON" }),
    airflowLink("dags/audit_memory", "How it works, run the audit")];
}

/** The shortest time that shows all there is: an hour of looks would be a dot in two days. */
function fitting(processes) {
  const living = processes.filter((one) => !one.ended);
  const oldest = Math.max(...(living.length ? living : processes).map((one) => (Date.now() - new Date(one.started_at)) / 36e5));
  return HOURS.find((one) => one >= oldest) ?? hours;
}

async function drawList() {
  let { processes } = await call(`processes?hours=${hours}&ended=${ended}`);
  if (!fitted && processes.length) {
    fitted = true;
    const fit = fitting(processes);
    if (fit < hours) { hours = fit; ({ processes } = await call(`processes?hours=${hours}&ended=${ended}`)); }
  }
  by("tools").replaceChildren(...tools());
  by("summary").textContent = summary(processes);
  by("spark-title").textContent = `Last ${span(hours)}`;
  by("table").hidden = !processes.length;
  by("empty").hidden = processes.length > 0;
  by("empty").replaceChildren(...(processes.length ? [] : emptyState()));
  groups = grouped(processes);
  fill();
  performance.mark("shown");
}

/** The rows; the focus stays where it was, or goes to the process that was left. */
function fill() {
  const focused = document.activeElement?.closest?.("#processes a, #processes button");
  const again = focused?.hash ?? last, group = focused?.dataset.group;
  by("processes").replaceChildren(...groups.flatMap(rows));
  last = null;
  if (again) [...document.querySelectorAll("#processes a")].find((link) => link.hash === again)?.focus();
  if (group) [...document.querySelectorAll("#processes button")].find((button) => button.dataset.group === group)?.focus();
}

async function drawTasks() {
  by("tasks").replaceChildren(...(await taskSection(hours, null)));
  by("tasks").hidden = false;
}

function pick(chosen) { hours = picked = chosen; refresh(); }

async function refresh() {
  const chosen = /^#\/(processes\/[^/]+\/\d+\/\d+)$/.exec(location.hash)?.[1];
  by("list").hidden = Boolean(chosen);
  by("one").hidden = !chosen;
  by("notes").replaceChildren();
  try {
    if (chosen) await showProcess(by("one"), chosen, picked, pick);
    else { by("one").replaceChildren(); await drawList(); await drawTasks(); }
  } catch (fault) {
    if (chosen) by("one").replaceChildren(make("p", {}, make("a", { href: "#", textContent: "← All processes" })), make("p", { className: "fault", textContent: fault.message }));
    else by("notes").replaceChildren(make("li", { textContent: fault.message }));
  }
}

window.addEventListener("hashchange", (event) => { last = new URL(event.oldURL).hash || null; scrollTo(0, 0); refresh(); });
by("clock").textContent = `Times are in ${ZONE}.`;
setInterval(() => { if (!document.hidden && !by("list").hidden) drawList().catch(() => {}); }, LOOK_MS);
refresh();
