// Pictures of one run: what became of its rows, where its time went, and what is unlike the run before.
import { make } from "./page.js";
import { profileChanges } from "./profile.js";
import { count, head, rejectedLink, share, size, svg, took } from "./words.js";

const PARTS = [
  ["inserted", "new", "rows that the table did not have"], ["updated", "changed", "rows that the table had with other values"],
  ["unchanged", "unchanged", "rows that the table had as they are"], ["superseded", "superseded", "lost to a later row of the same key"],
  ["rejected", "rejected", "broke a rule, and are kept beside"],
];

export function accountPicture(run) {
  const parts = PARTS.filter(([name]) => run[name] !== null);
  const label = parts.map(([name, text]) => `${count(run[name])} ${text}`).join(", ");
  const whole = Math.max(1, run.read);
  return make("div", {},
    make("p", {}, make("b", { textContent: count(run.read) }), ` ${run.read === 1 ? "row was" : "rows were"} read from the file.`),
    make("div", { className: "stack", attributes: { role: "img", "aria-label": label } },
      ...parts.filter(([name]) => run[name] > 0).map(([name]) => make("span", { className: name, style: `flex: ${run[name] / whole} 0 0` }))),
    make("dl", { className: "legend" }, ...parts.map(([name, text, meaning]) => make("div", {},
      make("dt", {}, make("i", { className: name }), text), make("dd", {}, name === "rejected" && run.rejected ? rejectedLink({ run: run.run_id }, count(run.rejected)) : make("b", { textContent: count(run[name]) }),
        ` ${share(run[name], run.read)}`, make("small", { textContent: name === "superseded" && run.stale ? `${count(run.stale)} of them to a newer version in the table` : meaning }))))),
    ...(run.deleted ? [make("p", { textContent: `${count(run.deleted)} rows of the table that the file does not hold were deleted.` })] : []));
}

/** Plan, each chunk, and merge on one axis. Chunks that ran side by side stand in lanes. */
export function timePicture(run, progress, { chunks }) {
  const end = +new Date(run.finished_at), begin = +new Date(run.started_at) - run.plan_seconds * 1000;
  const bars = [["plan", begin, begin + run.plan_seconds * 1000, "Plan"]];
  const lanes = [];
  for (const one of chunks.filter((one) => one.loaded_at !== null).sort((a, b) => start(a) - start(b))) {
    let lane = lanes.findIndex((free) => free <= start(one) + 50);
    if (lane < 0) lane = lanes.push(0) - 1;
    lanes[lane] = +new Date(one.loaded_at);
    bars.push(["load", start(one), lanes[lane], `Chunk ${one.chunk + 1}`, lane + 1]);
  }
  if (run.merge_seconds) bars.push(["merge", end - run.merge_seconds * 1000, end, "Merge", lanes.length + 1]);
  const load = progress.load_began_at ? (new Date(progress.load_ended_at) - new Date(progress.load_began_at)) / 1000 : 0;
  const rest = Math.max(0, run.seconds - run.plan_seconds - load - (run.merge_seconds ?? 0));
  const steps = [["plan", "Plan", run.plan_seconds], ["load", "Load", load], ["merge", "Merge", run.merge_seconds ?? 0], ["rest", "Starting tasks, in Airflow", rest]];
  return make("div", {}, gantt(bars, begin, end, lanes.length + 2, run.seconds),
    make("dl", { className: "legend" }, ...steps.map(([name, text, seconds]) => make("div", {}, make("dt", {}, make("i", { className: name }), text),
      make("dd", {}, make("b", { textContent: took(seconds) }), ` ${share(seconds, run.seconds)}`)))));
}

const start = (one) => +new Date(one.loaded_at) - one.seconds * 1000;

function gantt(bars, begin, end, lanes, seconds) {
  const width = 1000, tall = 14, scale = width / Math.max(1, end - begin);
  const drawn = bars.map(([name, from, to, text, lane = 0]) => {
    const bar = svg("rect", { class: name, x: Math.max(0, (from - begin) * scale), y: lane * tall, width: Math.max(2, (to - from) * scale), height: tall - 3, rx: 2 });
    bar.append(svg("title", {}, `${text}: ${took((to - from) / 1000)}`));
    return bar;
  });
  return svg("svg", { class: "gantt", viewBox: `0 0 ${width} ${lanes * tall}`, preserveAspectRatio: "none", height: Math.min(360, lanes * tall), role: "img", "aria-label": `Plan, load and merge over ${took(seconds)}` }, ...drawn);
}

const NAMES = { bytes: "Bytes", read: "Rows read", inserted: "New", updated: "Changed", unchanged: "Unchanged", superseded: "Superseded", rejected: "Rejected", deleted: "Deleted", seconds: "Took" };

export function changesTable(run, changes) {
  const text = (name, n) => (name === "bytes" ? size(n) : name === "seconds" ? took(n) : count(n));
  const rows = changes.figures.filter((one) => one.before || one.now).map((one) => make("tr", {},
    make("th", { scope: "row", textContent: NAMES[one.name] }), make("td", { className: "number", textContent: text(one.name, one.before) }),
    make("td", { className: "number", textContent: text(one.name, one.now) }), make("td", { className: "number", textContent: change(one) })));
  const said = [
    changes.columns_gained.length ? `The file has new columns that the dataset does not name: ${changes.columns_gained.join(", ")}.` : "",
    changes.columns_lost.length ? `Columns are gone that the dataset does not name: ${changes.columns_lost.join(", ")}.` : "",
    changes.dataset_changed ? "The dataset file was changed in between." : "",
  ].filter(Boolean);
  return [
    make("p", { className: "quiet" }, "Against ", make("a", { href: `#/runs/${changes.run_id}`, textContent: `the run before, of ${changes.version.slice(0, 10)}` }), "."),
    ...(said.length ? [make("ul", { className: "notes" }, ...said.map((one) => make("li", { className: "warn", textContent: one })))] : []),
    make("table", { className: "narrow" }, head(["Figure"], ["Before", "number"], ["This run", "number"], ["Change", "number"]), make("tbody", {}, ...rows)),
    ...profileChanges(changes.profile),
  ];
}

function change({ before, now }) {
  if (before === null || now === null) return "–";
  if (before === now) return "±0";
  if (!before) return `+${count(now)}`;
  const sign = now > before ? "+" : "−";
  const percent = 100 * Math.abs(now - before) / before;
  return percent >= 1000 ? `${sign}${count(Math.round(percent / 100))}×` : `${sign}${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}
