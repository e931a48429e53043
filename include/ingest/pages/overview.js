// All datasets: those that need a person first, and what that is on top.
import { call, make } from "./page.js";
import { ago, cell, count, daily, datasetLink, fileName, head, interval, lasting, moment, moreButton, pill, plural, rejectedLink, runLink, share, speed, took } from "./words.js";

const PAGE = 100;

export async function showDatasets() {
  const found = await call(`datasets?limit=${PAGE}`);
  if (!found.total) return { title: "Datasets", nodes: [empty()], again: 10 };
  const body = make("tbody", {}, ...found.datasets.map((one) => row(one, found.at)));
  let longer = false;
  const more = moreButton(found.next, async (after) => {
    const page = await call(`datasets?${new URLSearchParams({ limit: PAGE, after })}`);
    body.append(...page.datasets.map((one) => row(one, page.at)));
    longer = true;
    return page.next;
  });
  const table = make("table", { className: "cards datasets" },
    head(["Dataset"], ["Last run"], ["File"], ["Rows", "number"], ["Took", "number"], ["Speed", "number"], ["Rejected", "number"], ["Table loaded"], ["Rows a day, 30 days"]), body);
  const urgent = found.datasets.filter((one) => one.notices.some((notice) => notice.level !== "note"));
  return {
    title: "Datasets", again: longer ? null : 10,
    nodes: [
      make("p", { className: "quiet", textContent: `${plural(found.total, "dataset")}, ${urgent.length ? `of which ${plural(urgent.length, "needs", "need")} a person` : "all as they should be"}.` }),
      ...(urgent.length ? [make("section", { attributes: { "aria-labelledby": "urgent" } }, make("h2", { id: "urgent", textContent: "Needs a person" }), list(urgent))] : []),
      make("h2", { textContent: "All datasets" }), table, more,
    ],
  };
}

function list(datasets) {
  return make("ul", { className: "notes" }, ...datasets.flatMap((one) => one.notices.filter((notice) => notice.level !== "note").map((notice) =>
    make("li", { className: notice.level }, make("b", {}, make("a", { href: `#/datasets/${one.name}`, textContent: one.name })), ` ${notice.text} `, ...(notice.run_id ? [runLink(notice, "See the run")] : [])))));
}

export function row(one, now) {
  const run = one.last, tone = one.notices[0]?.level ?? "none";
  const done = run && run.read !== null;
  return make("tr", { className: tone },
    make("th", { scope: "row" }, datasetLink(one.name), make("small", { textContent: one.target ?? "" })),
    cell("Last run", "", ...(run ? [pill(run.status), make("small", {}, runLink(run, interval(run.version)), ", ", ago(run.finished_at ?? run.started_at, now))] : [make("span", { className: "quiet", textContent: "not run yet" })])),
    cell("File", "file", ...file(one, now)),
    cell("Rows", "number", count(done ? run.read : null)),
    cell("Took", "number", took(run?.finished_at ? run.seconds : null)),
    cell("Speed", "number", speed(done && run.seconds ? run.bytes / run.seconds : null)),
    cell("Rejected", "number", ...(run?.rejected ? [rejectedLink({ run: run.run_id }, count(run.rejected)), ...(run.read ? [make("small", { textContent: share(run.rejected, run.read) })] : [])] : [count(done ? 0 : null)])),
    cell("Table loaded", "", ...(one.loaded_at ? [ago(one.loaded_at, now), make("small", { textContent: `data of ${interval(one.loaded_version)}` })] : ["–"])),
    cell("Rows a day", "", daily(one.days, now)));
}

/** The file that is waited for, or else the one that comes next. */
function file(one, now) {
  if (one.waiting) {
    const left = one.waiting.seconds === undefined ? null : one.waiting.seconds - (new Date(now) - new Date(one.waiting.since)) / 1000;
    return [make("span", { textContent: fileName(one.waiting.file), title: one.waiting.file }),
      make("small", {}, "awaited since ", moment(one.waiting.since), ...(left > 0 ? [`, fails in ${lasting(left)}`] : []))];
  }
  if (!one.expected) return ["–"];
  return [make("span", { className: "quiet", textContent: one.expected.file ? fileName(one.expected.file) : `that of ${interval(one.expected.version)}`, title: one.expected.file ?? "" }),
    make("small", {}, "expected ", ago(one.expected.due, now))];
}

function empty() {
  return make("section", { className: "empty" }, make("h2", { textContent: "There is no dataset yet." }),
    make("p", { textContent: "A file include/datasets/<name>.yaml makes one: it says where the CSV file is, which columns it has, and which table its rows go to." }));
}
