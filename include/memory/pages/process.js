// One process: verdict, plots with what happened meanwhile, its profiles, and what changed between them.
import { bytes, call, make } from "./page.js";
import { plot } from "./plot.js";
import { profileSection } from "./profile.js";
import { taskSection } from "./tasks.js";
import { HOURS, VERDICTS, count, left, moment, rate, short, span, why, ZONE } from "./words.js";

const GREEDIEST = 5, LONGEST = 48, LEAST_MS = 10 * 60000, EDGE = 0.04; // of the time shown: a mark at its begin stands clear of the axis

/** Fill an element with the process at a path of the interface. */
export async function showProcess(place, path, chosen, choose) {
  const story = await fitting(path, chosen), process = story.process, { hours } = story;
  const title = make("h1", { textContent: `${process.role} ${process.pid} on ${process.host}`, tabIndex: -1 });
  const verdict = process.verdict ?? "not judged yet";
  const ago = process.ended ? Math.ceil((Date.now() - Date.parse(process.seen_at)) / 3.6e6) : 0; // as the plot ends there
  const tasks = make("section", {}, ...(await taskSection(Math.min(hours + ago, 720), process)));
  const profiles = make("section");
  place.className = VERDICTS[verdict] ?? "none";
  place.replaceChildren(
    make("nav", {}, make("a", { href: "#", textContent: "← All processes" })),
    make("header", {}, title, make("span", { className: "state", textContent: verdict }),
      ...(process.kind && process.kind !== "none" ? [make("span", { className: "quiet", textContent: process.kind })] : [])),
    make("p", { className: "lead", textContent: why(process) }),
    facts(process),
    make("section", {}, make("header", {}, make("h2", { textContent: "Memory" }), hoursButtons(hours, choose),
      make("a", { className: "json", href: `${path}?hours=${hours}`, download: `memory-${process.role}-${process.pid}.json`, textContent: "JSON" })),
      ...memory(story), ...counters(story)),
    profiles, tasks);
  title.focus({ preventScroll: true });
  profiles.replaceChildren(...(await profileSection(path, story.profiles, story.order)));
}

/** The story of a process over the hours that were chosen, or where none were, over its life as far as that is shown. */
async function fitting(path, chosen) {
  const story = await call(`${path}?hours=${chosen ?? LONGEST}`);
  const life = (Date.parse(story.until) - Date.parse(story.process.started_at)) / 3.6e6, fit = HOURS.find((one) => one >= life) ?? LONGEST;
  return chosen === null && fit < LONGEST ? call(`${path}?hours=${fit}`) : story;
}

/** A button for each stretch of time that can be shown. */
export function hoursButtons(chosen, choose) {
  return make("span", { className: "hours", attributes: { role: "group", "aria-label": "How far to look back" } },
    ...HOURS.map((one) => make("button", { type: "button", textContent: span(one), attributes: { "aria-pressed": String(one === chosen) }, onclick: () => choose(one) })));
}

function facts(process) {
  const time = left(process);
  const known = [
    [process.ended ? "Memory at its end" : "Memory now", bytes(process.used_bytes), `${bytes(process.resident_bytes)} resident`],
    ["Growth", process.rate === null ? "–" : `${rate(process.rate, "+")} MB/h`, process.rate === null ? "" : `95 % confidence: ${rate(process.rate_low)} to ${rate(process.rate_high)}`],
    ["Time left", process.ended ? "ended" : time ?? "–", process.limit_bytes === null ? (time ? "until its limit" : "no limit is known") : `until its limit of ${bytes(process.limit_bytes)}`],
    [process.ended ? "Lived" : "Started", moment(process.started_at), process.ended ? `until ${moment(process.seen_at)}` : process.release ? `release ${process.release}` : ""],
    ...(process.flagged_at ? [["Flagged", moment(process.flagged_at), process.flagged_by === "fast motion" ? "no alert, as it is a demo" : "the alert went out"]] : []),
  ];
  return make("dl", { className: "facts" }, ...known.map(([name, value, more]) => make("div", {},
    make("dt", { textContent: name }), make("dd", {}, make("b", { textContent: value }), make("small", { textContent: more })))));
}

function memory(story) {
  const points = story.points, process = story.process;
  if (!points.at.length) return [make("p", { className: "quiet", textContent: `There are no samples of the last ${span(story.hours)}.` })];
  const lives = story.earlier.map((one) => curve("earlier", one.points, "used_bytes"));
  const spans = story.tasks.map((task, n) => ({
    from: Date.parse(task.started_at), to: Date.parse(task.ended_at), rank: n < GREEDIEST && task.worker_grown_bytes > 0 ? n + 1 : null,
    text: `${task.dag_id}.${task.task_id}: worker grew ${bytes(task.worker_grown_bytes ?? 0)}, peak ${bytes(task.peak_bytes)}` }))
    .filter((run) => run.to >= stretch(story).since);
  const drawn = plot({ ...stretch(story), curves: [curve("used", points, "used_bytes", true), ...lives], limit: process.limit_bytes,
    marks: marks(story), spans, label: `Memory of ${process.role} ${process.pid} over ${span(story.hours)}`, words: bytes });
  return [drawn, legend(story, lives.length > 0)];
}

function counters(story) {
  const points = story.points;
  const shown = [["blocks", "Allocated blocks of Python", count, short], ["objects", "Objects that the collector knows", count, short], ["heap_bytes", "Bytes in use in malloc", bytes]];
  const drawn = shown.filter(([name]) => points[name].some((value) => value !== null)).map(([name, title, words, axis]) =>
    make("figure", {}, make("figcaption", { textContent: title }),
      plot({ ...stretch(story), curves: [curve("used", points, name)], height: 90, label: title, words: (n) => words(Math.round(n)), axis, help: "" })));
  return drawn.length ? [make("h3", { textContent: "Counters inside" }), make("div", { className: "counters" }, ...drawn)] : [];
}

/** What is shown: the hours that were chosen, or as much of them as has looks. */
function stretch(story) {
  const looks = [story.points, ...story.earlier.map((one) => one.points)].flatMap((points) => points.at.slice(0, 1).map(Date.parse));
  const until = Date.parse(story.until), first = Math.min(...looks, until - LEAST_MS);
  return { since: Math.max(Date.parse(story.since), first - EDGE * (until - first)), until: Date.parse(story.until), step: story.step_seconds * 1000 };
}

function curve(name, points, column, band = false) {
  return { name, at: points.at.map(Date.parse), value: points[column], ...(band && { low: points.used_low_bytes, high: points.used_high_bytes }) };
}

function marks(story) {
  const alone = story.earlier.length > 0;
  return [
    ...story.starts.map((one) => ({ at: Date.parse(one.at), kind: "start", text: one.own ? (alone ? "restart" : "start") : `start of ${one.pid}` })),
    ...story.deploys.map((one) => ({ at: Date.parse(one.at), kind: "deploy", text: `deploy ${one.after}` })),
    ...story.profiles.map((one) => ({ at: Date.parse(one.taken_at), kind: "profile", text: "profile" })),
  ].filter((mark) => mark.at >= stretch(story).since && mark.at <= Date.parse(story.until));
}

function legend(story, earlier) {
  const process = story.process, words = [["line used", process.measure === "anonymous" ? "anonymous memory, mean and range" : "memory of its own, mean and range"]];
  if (earlier) words.push(["line earlier", "the process before it"]);
  if (story.starts.length) words.push(["mark start", "start or restart"]);
  if (story.deploys.length) words.push(["mark deploy", "deploy"]);
  if (story.profiles.length) words.push(["mark profile", "profile"]);
  if (story.tasks.length) words.push(["run", "task run"], ["run greedy", "task run after which it was larger, as numbered below"]);
  const above = process.limit_bytes !== null && process.limit_bytes > Math.max(...story.points.used_high_bytes) * 1.6;
  return make("ul", { className: "legend" }, ...words.map(([kind, text]) => make("li", {}, make("i", { className: kind }), text)),
    make("li", { textContent: `Times are in ${ZONE}.` }), ...(above ? [make("li", { textContent: `Its limit of ${bytes(process.limit_bytes)} lies above the plot.` })] : []));
}
