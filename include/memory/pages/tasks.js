// Tries of tasks, the greediest first.
import { airflowLink, call, make } from "./page.js";
import { address, count, lasting, moment, signed, size, span } from "./words.js";

const FEW = 10, MANY = 200;
const ORDERS = { grown: "Worker grew", peak: "Peak", retained: "Retained", newest: "Started" };

/** A heading and a table of tries; of one worker, or of all. */
export async function taskSection(hours, worker, order = "grown", limit = FEW) {
  const query = new URLSearchParams({ hours, order, limit, ...(worker && { host: worker.host, pid: worker.pid, start_ticks: worker.start_ticks }) });
  const { total, tasks } = await call(`tasks?${query}`);
  const title = make("header", {}, make("h2", { textContent: "Task instances" }),
    make("a", { className: "json", href: `tasks?${query}`, download: "memory-tasks.json", textContent: "JSON" }));
  if (!tasks.length) return [title, make("p", { className: "quiet", textContent: worker ? "No task that was measured ran in this process in that time." : `No task that was measured ran in the last ${span(hours)}.` })];
  const again = async (event, chosen, most = limit) => {
    const section = event.target.closest("section");
    section.replaceChildren(...(await taskSection(hours, worker, chosen, most)));
    section.querySelector(`[data-order=${chosen}]`).focus();
  };
  const table = make("table", { className: "tasks" }, head(worker, order, again), make("tbody", {}, ...tasks.map((task, n) => row(task, worker, order === "grown" ? n + 1 : null))));
  const note = make("p", { className: "quiet" }, ...(total > tasks.length ? [`${tasks.length} of ${count(total)} tries. `] : []),
    ...(total > tasks.length && limit < MANY ? [make("button", { type: "button", textContent: "Show more", onclick: (event) => again(event, order, MANY) })] : []));
  return [title, make("p", { className: "quiet", textContent: "Peak: highest resident memory of the task's own process. Retained: what that process took more at its end than at its start. Worker grew: what the long-lived worker process took more after the task than before." }), table, note];
}

function head(worker, order, choose) {
  const sorted = (name) => make("th", { scope: "col", className: "number", attributes: { "aria-sort": name === order ? "descending" : "none" } },
    make("button", { type: "button", className: "sort", textContent: ORDERS[name], attributes: { "data-order": name }, onclick: (event) => choose(event, name) }));
  return make("thead", {}, make("tr", {}, make("th", { scope: "col", textContent: "Task" }),
    ...(worker ? [] : [make("th", { scope: "col", textContent: "Worker" })]),
    sorted("grown"), sorted("peak"), sorted("retained"), sorted("newest"), make("th", { scope: "col", textContent: "State" })));
}

function row(task, worker, rank) {
  const parts = ["dags", task.dag_id, "runs", task.run_id, "tasks", task.task_id].map(encodeURIComponent);
  const link = airflowLink(parts.join("/") + (task.map_index >= 0 ? `/mapped/${task.map_index}` : ""), `${task.dag_id}.${task.task_id}`);
  const place = [task.map_index >= 0 ? `[${task.map_index}]` : "", task.run_id, task.try_number > 1 ? `try ${task.try_number}` : ""].filter(Boolean).join(" · ");
  const seconds = (new Date(task.ended_at) - new Date(task.started_at)) / 1000;
  return make("tr", {}, make("th", { scope: "row" }, ...(rank && rank <= 5 && worker ? [make("span", { className: "rank", textContent: rank })] : []), link, make("small", { textContent: place })),
    ...(worker ? [] : [make("td", {}, make("a", { href: `#/${address(task)}`, textContent: task.role ?? "process" }), make("small", { textContent: `${task.host} · pid ${task.pid}` }))]),
    make("td", { className: "number" }, make("b", { textContent: signed(task.worker_grown_bytes, size) })),
    make("td", { className: "number", textContent: size(task.peak_bytes) }),
    make("td", { className: "number", textContent: signed(task.retained_bytes, size) }),
    make("td", { className: "number" }, moment(task.started_at), make("small", { textContent: lasting(seconds) })),
    make("td", { textContent: task.state }));
}
