// Which view is shown: the part of the address after `#` tells. A view that changes is asked for again and again.
import { by, call, make, ZONE } from "./page.js";
import { showDataset } from "./dataset.js";
import { showEditor } from "./editor.js";
import { showDatasets } from "./overview.js";
import { showRejected } from "./rejected.js";
import { showRun, showRuns } from "./run.js";

const VIEWS = [
  [/^datasets\/([^/]+)$/, showDataset, "Datasets"], [/^datasets\/([^/]+)\/edit$/, showEditor, "Datasets"],
  [/^runs\/([^/]+)$/, showRun, "Runs"], [/^runs$/, showRuns, "Runs"],
  [/^rejected$/, showRejected, "Rejected rows"], [/^$/, showDatasets, "Datasets"],
];
let timer = null, turn = 0, began = false;

/** The view of the address. One that took longer than the user is forgotten. `fresh`: the user came here just now. */
async function show(fresh) {
  const mine = ++turn;
  clearTimeout(timer);
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [pattern, view, section] = VIEWS.find(([one]) => one.test(path)) ?? [/^$/, missing, ""];
  let again = 10;
  try {
    const found = await view(path.match(pattern)?.slice(1).map(decodeURIComponent) ?? [], new URLSearchParams(search), refresh);
    if (mine !== turn) return;
    if (found.title !== by("title").textContent) by("title").textContent = found.title;
    document.title = found.title;
    mark(section);
    put(found.nodes);
    performance.mark("shown");
    by("notes").replaceChildren();
    if (fresh) { scrollTo(0, 0); by("title").focus({ preventScroll: true }); }
    again = found.again;
  } catch (fault) {
    if (mine !== turn) return;
    if (fresh || !began) { mark(section); by("title").textContent = section || "Ingest"; by("view").replaceChildren(); }
    by("notes").replaceChildren(make("li", { className: "bad", textContent: fault.message }));
  }
  began = true;
  if (again) timer = setTimeout(() => (document.hidden ? refreshLater() : show(false)), again * 1000);
}

function refreshLater() { document.addEventListener("visibilitychange", () => show(false), { once: true }); }
function refresh() { return show(false); }
function missing() { throw new Error("There is no such view."); }

function mark(section) {
  for (const link of by("sections").children) {
    if (link.textContent === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Put the nodes in place; what had the focus, or was open, has it again where it is still there. */
function put(nodes) {
  const focused = document.activeElement?.dataset?.key;
  const closed = [...document.querySelectorAll("details[data-key]")].map((one) => [one.dataset.key, one.open]);
  by("view").replaceChildren(...nodes);
  for (const [key, open] of closed) {
    const one = document.querySelector(`details[data-key="${CSS.escape(key)}"]`);
    if (one) one.open = open;
  }
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** Airflow leads here from one of its runs: the ledger's run takes the place of that address. */
async function begin() {
  const asked = new URLSearchParams(location.search);
  if (asked.has("run") && !location.hash) {
    const query = new URLSearchParams({ dag_id: asked.get("dag") ?? "", dag_run_id: asked.get("run") });
    try {
      const found = await call(`runs/of-airflow?${query}`);
      history.replaceState(null, "", `#/runs/${found.run_id}`);
    } catch (fault) {
      by("title").textContent = "Not an ingest, or not begun";
      by("view").replaceChildren(make("p", { textContent: `${fault.message}. A run is listed from its first look for its file.` }));
      return;
    }
  }
  await show(false);
}

by("clock").textContent = `Times are in ${ZONE}.`;
window.addEventListener("hashchange", () => show(true));
begin();
