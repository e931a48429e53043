// What columns hold: over the last runs, and what of it is unlike the run before.
import { make } from "./page.js";
import { cell, count, head, interval, plural, svg } from "./words.js";

const SHOWN_VALUES = 4;
const percent = (part) => (part === null || part === undefined ? "–" : part === 0 ? "0 %" : part < 0.001 ? "< 0.1 %" : part > 0.999 && part < 1 ? "> 99.9 %" : `${+(100 * part).toFixed(1)} %`);
const isWhole = (run) => run.sampled === run.records;

/** The dataset's columns, each with what the last run's file held in it; `profile` is null before the first run. */
export function columnsTable(list, profile) {
  const held = new Map(profile.columns.map((one) => [one.name, one])), last = profile.runs.at(-1);
  const others = profile.columns.filter((one) => !list.some(({ name }) => name === one.name)).map((one) => ({ ...one, key: false, nullable: true, source: one.name, rules: {}, values: undefined }));
  const rows = [...list, ...others].map((one) => row(one, held.get(one.name), profile.runs));
  return make("div", {},
    make("p", { className: "quiet", textContent: last ? measured(last) : "What the columns hold is shown after the next run that loads a file." }),
    make("div", { className: "wide", tabIndex: 0, attributes: { role: "region", "aria-label": "Columns" } },
      make("table", { className: "cards columns" }, head(["Column"], ["Type and rules"], ["Empty", "number"], [`Empty over ${plural(profile.runs.length, "run")}`], ["Values"], ["From – to"]), make("tbody", {}, ...rows))));
}

function measured(run) {
  return isWhole(run) ? `By the last run, of ${interval(run.version)}: all ${plural(run.records, "record")} of its file.`
    : `By the last run, of ${interval(run.version)}: a random sample of ${count(run.sampled)} of the ${plural(run.records, "record")} of its file. Numbers of rows are estimates, and what is rare is not seen.`;
}

function row(one, found, runs) {
  const rules = Object.entries(one.rules).map(([key, value]) => `${key}: ${Array.isArray(value) ? value.join(", ") : value}`);
  const notes = [one.source === one.name ? "" : `in the file: ${[one.source].flat().join(" or ")}`].filter(Boolean);
  return make("tr", {},
    make("th", { scope: "row" }, make("code", { textContent: one.name }), ...(one.key ? [" ", make("span", { className: "state none", textContent: "key" })] : []), ...notes.map((text) => make("small", { textContent: text }))),
    cell("Type", "", make("code", { textContent: one.type }), make("small", { textContent: [one.nullable ? "may be empty" : "never empty", ...rules].join("; ") })),
    cell("Empty", "number", found ? percent(found.null_share) : "–"),
    cell("Over time", "", found ? shares(found.shares, runs) : "–"),
    cell("Values", "", ...(found ? values(one.name, found, runs.at(-1)) : ["–"])),
    cell("From – to", "", ...(found && found.least !== null ? [make("span", { className: "value", textContent: found.least }), " – ", make("span", { className: "value", textContent: found.greatest })] : ["–"])));
}

function values(name, found, run) {
  const about = isWhole(run) ? "" : "~";
  if (!found.values) return found.distinct === null ? ["–"] : [`at least ${count(found.distinct)} different`];
  const all = Object.entries(found.values).sort((a, b) => b[1] - a[1]), sum = all.reduce((total, [, rows]) => total + rows, 0);
  if (!all.length) return ["none"];
  const said = ([value, rows]) => make("li", {}, make("span", { className: "value", textContent: value === "" ? "(empty text)" : value }), ` ${percent(rows / sum)}`, make("small", { textContent: `${about}${plural(rows, "row")}` }));
  const first = make("ul", { className: "values" }, ...all.slice(0, SHOWN_VALUES).map(said));
  if (all.length <= SHOWN_VALUES) return [first];
  return [first, make("details", { attributes: { "data-key": `values ${name}` } }, make("summary", { textContent: `all ${count(all.length)}` }), make("ul", { className: "values" }, ...all.slice(SHOWN_VALUES).map(said)))];
}

/** The share of empty cells as a line, one point a run; its height is the greatest share. */
function shares(list, runs, { width = 120, height = 28 } = {}) {
  const known = list.map((share, place) => [share, place]).filter(([share]) => share !== null);
  const most = Math.max(...known.map(([share]) => share), 0.001), step = width / Math.max(1, runs.length - 1);
  const at = ([share, place]) => [runs.length > 1 ? place * step : width / 2, height - 3 - (height - 6) * share / most];
  const points = known.map((one) => at(one).map((n) => n.toFixed(1)).join(",")).join(" ");
  const least = Math.min(...known.map(([share]) => share));
  const said = least === most || (!least && most === 0.001) ? `${percent(known.at(-1)[0])} in each run` : `between ${percent(least)} and ${percent(most)}, now ${percent(known.at(-1)[0])}`;
  const line = svg("polyline", { points, class: "share" });
  const picture = svg("svg", { class: "shares", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Empty: ${said}` },
    svg("line", { class: "floor", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }), line);
  const [x, y] = at(known.at(-1));
  picture.append(svg("circle", { class: "now", cx: Math.min(width - 3, Math.max(3, x)), cy: y, r: 2.5 }));
  const title = svg("title", {}, known.map(([share, place]) => `${interval(runs[place].version)}: ${percent(share)}`).join("\n"));
  picture.append(title);
  return picture;
}

/** What of a run's columns is unlike the run before, as sentences and a table. */
export function profileChanges(found) {
  if (!found) return [];
  const about = isWhole(found) ? "" : "about ";
  const before = { records: found.records_before, sampled: found.sampled_before };
  const notes = found.values.map((one) => make("li", { className: "warn" }, make("code", { textContent: one.column }), " ", ...said(one, about, isWhole(before) ? "" : "about ")));
  const moved = found.nulls.map((one) => make("tr", {}, make("th", { scope: "row" }, make("code", { textContent: one.column })),
    make("td", { className: "number", textContent: percent(one.before) }), make("td", { className: "number", textContent: percent(one.now) }),
    make("td", { className: "number", textContent: points(one) })));
  return [
    make("h3", { textContent: "In the columns" }),
    make("p", { className: "quiet", textContent: seen(found, before) }),
    ...(notes.length ? [make("ul", { className: "notes", attributes: { "aria-label": "Values that came or went" } }, ...notes)] : []),
    ...(moved.length ? [make("table", { className: "narrow" }, make("caption", { className: "quiet", textContent: "Empty cells" }), head(["Column"], ["Before", "number"], ["This run", "number"], ["Change", "number"]), make("tbody", {}, ...moved))] : []),
    ...(notes.length || moved.length ? [] : [make("p", { textContent: "No column has more or fewer empty cells, and no value came or went." })]),
  ];
}

function seen(found, before) {
  if (isWhole(found) && isWhole(before)) return "By all records of both files.";
  const part = (run) => (isWhole(run) ? `all ${plural(run.records, "record")}` : `a random sample of ${count(run.sampled)} of ${plural(run.records, "record")}`);
  return `By ${part(found)} of this file and ${part(before)} of the one before. What is rare is not seen, and what may be chance is not said.`;
}

function said(one, about, aboutBefore) {
  if (one.distinct) return [`now has at least ${count(one.distinct)} different values: they are no longer listed one by one.`];
  const list = (values, prefix) => values.flatMap(({ value, rows }, place) => [place ? ", " : "", make("b", { className: "value", textContent: value === "" ? "(empty text)" : value }), ` (${prefix}${plural(rows, "row")})`]);
  return [
    ...(one.come.length ? [one.come.length === 1 ? "has the new value " : "has the new values ", ...list(one.come, about), one.gone.length ? "; " : "."] : []),
    ...(one.gone.length ? [one.gone.length === 1 ? "no longer has the value " : "no longer has the values ", ...list(one.gone, aboutBefore), "."] : []),
    ...(one.more ? [` And ${count(one.more)} more.`] : []),
  ];
}

function points({ before, now }) {
  const change = 100 * (now - before);
  return `${change > 0 ? "+" : "−"}${Math.abs(change) < 0.1 ? "< 0.1" : +Math.abs(change).toFixed(1)} points`;
}
