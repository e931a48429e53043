// Replays: the buttons that ask for one, and what became of those that were asked for.
import { asked } from "./airflow.js";
import { airflowLink, by, call, make } from "./page.js";
import { ago, count, interval, plural, rejectedLink } from "./words.js";

const SHOWN = 3, POLL_SECONDS = 1.5;
const STATES = { waiting: ["waiting to start", "busy"], running: ["running", "busy"], done: ["done", "good"], failed: ["failed", "bad"] };
const going = (one) => one.state === "waiting" || one.state === "running";

/** Of the rows that are shown: those that somebody corrected, and all that are open. */
export function replayButtons({ dataset, run, rule, column, corrected, open }, list) {
  if (run && run.status !== "done") return [make("p", { className: "quiet", textContent: "None of this run's rows are in the table, so its rejected rows can't be replayed: correct the file or the dataset, and run it again." })];
  const wish = { dataset, ...(run && { run_id: run.run_id }), ...(rule !== undefined && { rule, column: column ?? "" }) };
  const of = rule !== undefined ? "of this filter" : run ? "of this run" : `of ${dataset}`;
  const make_ = (text, number, more, what) => make("button", { type: "button", textContent: text, disabled: !number, attributes: { "data-key": `replay ${what}` },
    onclick: async (event) => ask(event.currentTarget, { ...wish, ...more }, `${plural(number, what)} ${of}`, list) });
  return [
    ...(corrected ? [make_(`Replay ${plural(corrected, "corrected row")}`, corrected, { corrected: true }, "corrected row")] : []),
    make_(`Replay all ${plural(open, "open row")} ${of}`, open, {}, "open row"),
  ];
}

async function ask(button, wish, what, list) {
  if (!await asked("Replay these rows?", `${what}: the dataset, as its file is now, checks them once more. What passes is loaded with the version of its run, so rows of newer files stay. What breaks a rule again stays rejected, with the new reason. A task of Airflow does it, and your name is kept.`, "Replay")) return;
  button.disabled = true;
  try {
    const begun = await call(`replays/${id()}`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) });
    by("notes").replaceChildren();
    list.add(begun);
  } catch (fault) {
    by("notes").replaceChildren(make("li", { className: "bad", textContent: fault.message }));
    button.disabled = false;
  }
}

/** An id of version 4: `crypto.randomUUID` is not there over plain http. */
function id() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The newest replays of a dataset or run. Those that are under way are asked for again until they have ended. */
export async function replayList({ dataset, run_id }, refresh) {
  const first = await call(`replays?${new URLSearchParams({ dataset, ...(run_id && { run_id }), limit: SHOWN })}`);
  const list = make("ul", { className: "notes replays", attributes: { "aria-live": "polite" } });
  const node = make("section", { hidden: true, attributes: { "aria-labelledby": "replays" } }, make("h2", { id: "replays", textContent: "Replays" }), list);
  const items = new Map();
  const add = (one, more = false) => {
    const item = told(one);
    if (items.has(one.id)) items.get(one.id).replaceWith(item);
    else if (more) list.append(item); else list.prepend(item);
    items.set(one.id, item);
    node.hidden = false;
    if (going(one)) setTimeout(() => look(one.id), POLL_SECONDS * 1000);
  };
  const look = async (which) => {
    if (!node.isConnected) return;
    const found = await call(`replays/${which}`).catch(() => null);
    if (!found) { setTimeout(() => look(which), 4 * POLL_SECONDS * 1000); return; }
    const item = told(found);
    if (going(found) && item.textContent === items.get(which).textContent) { setTimeout(() => look(which), POLL_SECONDS * 1000); return; }
    add(found);
    if (!going(found) && !document.querySelector("tr.editor")) {
      await refresh();
      by("notes").replaceChildren(told(found));
    }
  };
  for (const one of first.replays) add(one, true);
  if (first.next) {
    const more = make("button", { type: "button", textContent: "Earlier replays", attributes: { "data-key": "replays" } });
    let next = first.next;
    more.addEventListener("click", async () => {
      const page = await call(`replays?${new URLSearchParams({ dataset, ...(run_id && { run_id }), after: next })}`);
      for (const one of page.replays) add(one, true);
      next = page.next;
      more.hidden = !next;
    });
    node.append(more);
  }
  return { node, add };
}

function told(one) {
  const [text, tone] = STATES[one.state], [dag, run] = [one.airflow_run.split("/")[0], one.airflow_run.split("/").slice(1).join("/")];
  return make("li", { className: tone }, make("span", { className: "state", textContent: text }), ` ${whatOf(one)}, asked by `, make("b", { textContent: one.who }), ", ", ago(one.asked_at, new Date()), ". ",
    ...(going(one) ? [] : result(one)), ...(one.reason ? [make("span", { className: "reason", textContent: one.reason })] : []), " ",
    airflowLink(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}`, "In Airflow"));
}

function whatOf(one) {
  const rows = one.chosen ? plural(one.chosen, "row") : one.corrected ? "Corrected rows" : "Open rows";
  return `${rows}${one.rule ? ` of the rule ${one.column ? `${one.column}: ` : ""}${one.rule}` : ""}${one.run_id ? " of a run" : ` of ${one.dataset}`}`;
}

/** What became of the rows. Those that lost to a newer row of their key are stale; others lost to one of their file. */
function result(one) {
  const { sums } = one, accepted = sums.inserted + sums.updated + sums.unchanged;
  if (!sums.read) return one.reason ? [] : ["No row was open any more. "];
  const parts = [[accepted, `accepted (${count(sums.inserted)} new, ${count(sums.updated)} changed, ${count(sums.unchanged)} unchanged)`],
    [sums.stale, "left alone, as the table has a newer row of their key"], [sums.superseded - sums.stale, "superseded by another replayed row of their key"]].filter(([number]) => number);
  return [`Of ${plural(sums.read, "row")}: ${parts.map(([number, text]) => `${count(number)} ${text}`).join("; ")}`,
    ...(sums.rejected ? [parts.length ? "; " : "", rejectedLink({ run: one.again_run }, `${count(sums.rejected)} rejected again`)] : []), ". "];
}

/** The replays of a run, as runs of the ledger. */
export function replaysOf(runs) {
  return make("ul", { className: "notes" }, ...runs.map((run) => make("li", { className: run.status === "failed" ? "bad" : "none" },
    make("a", { href: `#/runs/${run.run_id}`, textContent: `Replay of ${plural(run.read ?? 0, "row")}` }), ` by ${run.asked_by}, `, ago(run.started_at, new Date()),
    `: ${run.status === "done" ? `${count(run.inserted + run.updated + run.unchanged)} accepted, ${count(run.rejected)} rejected again, ${count(run.superseded)} superseded` : run.reason ?? run.status}.`)));
}
