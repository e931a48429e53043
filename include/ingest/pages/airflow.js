// Airflow's own interface, asked with the login that the page has already, and links to Airflow's pages.
import { by, call, make } from "./page.js";
import { interval } from "./words.js";

const root = () => `${location.pathname.split("/millrace/")[0]}/api/v2`;
const JSON_BODY = { "Content-Type": "application/json", Accept: "application/json" };

/** Where a run stands in Airflow; null for one of the command line. */
export function inAirflow(run) {
  const cut = run.airflow_run?.indexOf("/") ?? -1;
  if (cut < 0) return null;
  const dag = run.airflow_run.slice(0, cut), id = run.airflow_run.slice(cut + 1);
  const page = `dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(id)}`;
  const task = run.replay_of ? "replay" : run.status === "planned" ? "load" : run.status === "waiting" ? "plan" : "account";
  return { dag, id, run: page, log: `${page}/tasks/${task}`, api: `${root()}/dags/${encodeURIComponent(dag)}/dagRuns` };
}

/** Clear all tasks of the run, so that it begins anew. */
export async function clearRun(run, refresh) {
  const place = inAirflow(run);
  if (!await asked("Run it again?", `All tasks of this run are cleared: it looks for ${run.file} again. If the table still holds that file, nothing is loaded. Rows of newer files stay.`, "Run again")) return;
  await told("The run begins again.", refresh, async () => {
    await ask(`${place.api}/${encodeURIComponent(place.id)}/clear`, { dry_run: false, only_failed: false });
  });
}

/** Start another run of the same file and data interval, which loads the file even if it was ingested before. */
export async function forceRun(run, refresh) {
  const place = inAirflow(run);
  if (!await asked("Load the file even if it was ingested before?", `A new run takes ${run.file} for the data interval ${interval(run.version)} once more, with the limits of this one. Rows of newer files stay.`, "Force")) return;
  await told("A run is started.", refresh, async () => {
    const { conf } = await call(`${place.api}/${encodeURIComponent(place.id)}`);
    // Airflow has one run of each logical date. Any date within the interval has the interval's version and file.
    const date = new Date(+new Date(run.version) + 1 + Math.floor(Math.random() * 58_000)).toISOString();
    await ask(place.api, { logical_date: date, conf: { ...conf, path: run.file, force: true } });
  });
}

function ask(path, body) { return call(path, { method: "POST", headers: JSON_BODY, body: JSON.stringify(body) }); }

async function told(text, refresh, act) {
  let note;
  try {
    await act();
    note = make("li", { className: "good", textContent: text });
  } catch (fault) {
    note = make("li", { className: "bad", textContent: `Airflow refused: ${fault.message}` });
  }
  await refresh();
  by("notes").replaceChildren(note);
}

/** Whether the user says yes. Airflow's frame lets no page open the browser's own question. */
export function asked(title, text, yes) {
  const dialog = by("ask");
  by("ask-title").textContent = title;
  by("ask-text").textContent = text;
  by("ask-yes").textContent = yes;
  by("ask-yes").onclick = () => dialog.close("yes");
  by("ask-no").onclick = () => dialog.close("no");
  dialog.returnValue = "no";
  dialog.showModal();
  by("ask-no").focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
