// Figures in words, the same everywhere on the page, and what several views draw.
import { bytes, count, lasting, make, moment } from "./page.js";

export { count, lasting, moment };
export const STATES = {
  waiting: ["waiting for its file", "busy"], planned: ["loading", "busy"], done: ["done", "good"],
  skipped: ["already ingested", "none"], failed: ["failed", "bad"],
};

export const size = (n) => (n === null || n === undefined ? "–" : bytes(n));
export const speed = (n) => (!n ? "–" : n < 1e5 ? `${Math.round(n / 1e3)} kB/s` : `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MB/s`);
/** A duration, finer than an age: `36 ms`, `4.2 s`, `55 s`, `2 min 6 s`. */
export function took(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds > 0 && seconds < 0.1) return `${Math.max(1, Math.round(1000 * seconds))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 90 || whole >= 600 ? lasting(whole) : `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
}
export const share = (part, whole) => (!whole ? "–" : part === 0 ? "0 %" : part / whole < 0.001 ? "< 0.1 %" : `${(100 * part / whole).toFixed(1)} %`);
export const fileName = (path) => path.replace(/\/+$/, "").split("/").at(-1);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** A point in time as its distance from now, with the time itself on demand. */
export function ago(at, now) {
  const seconds = (new Date(now) - new Date(at)) / 1000;
  const text = seconds < 0 ? `in ${lasting(-seconds)}` : seconds < 5 ? "just now" : `${lasting(seconds)} ago`;
  return make("time", { textContent: text, title: moment(at), dateTime: at });
}

export function when(at) { return make("time", { textContent: moment(at), dateTime: at }); }

/** The day of a data interval's start, and its time unless that is midnight UTC. */
export function interval(version) {
  const iso = new Date(version).toISOString();
  return iso.slice(11, 19) === "00:00:00" ? iso.slice(0, 10) : `${iso.slice(0, 16).replace("T", " ")} UTC`;
}

export function pill(status) {
  const [text, tone] = STATES[status] ?? [status, "none"];
  return make("span", { className: `state ${tone}`, textContent: text });
}

export const runLink = (run, text) => make("a", { href: `#/runs/${run.run_id}`, textContent: text, attributes: { "data-key": `run ${run.run_id}` } });
export const datasetLink = (name) => make("a", { href: `#/datasets/${encodeURIComponent(name)}`, textContent: name, attributes: { "data-key": `dataset ${name}` } });
export function rejectedLink(query, text) {
  return make("a", { href: `#/rejected?${new URLSearchParams(query)}`, textContent: text, attributes: { "data-key": `rejected ${text}` } });
}

/** A cell; on a phone its label stands before it, and one that says nothing is left out. */
export function cell(label, className, ...children) {
  const nothing = children.length === 1 && children[0] === "–" ? "nothing" : "";
  return make("td", { className: `${className} ${nothing}`.trim(), attributes: { "data-label": label } }, make("span", { className: "cell" }, ...children));
}

export function head(...names) {
  return make("thead", {}, make("tr", {}, ...names.map(([text, className = ""]) => make("th", { scope: "col", className, textContent: text }))));
}

/** A place for what takes longer than the rest of the view: to count a million rows takes a third of a second. */
export function later(answer, draw) {
  const place = make("div", { className: "later" }, make("p", { className: "quiet", textContent: "Counting…" }));
  answer.then((found) => place.replaceChildren(draw(found)), (fault) => place.replaceChildren(make("p", { className: "quiet", textContent: fault.message })));
  return place;
}

/** A button that brings the next page of a list, and then stands below it. */
export function moreButton(next, load) {
  const button = make("button", { type: "button", textContent: "Show more", hidden: !next, attributes: { "data-key": "more" } });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try { next = await load(next); } finally { button.disabled = false; }
    button.hidden = !next;
  });
  return button;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Rows a day as bars, a bar for each of the last `days` days; what was rejected stands on top in its colour. */
export function daily(days, now, { width = 120, height = 28, span = 30 } = {}) {
  const most = Math.max(1, ...days.map((day) => day.rows)), step = width / span, today = Date.parse(new Date(now).toISOString().slice(0, 10));
  const bars = days.flatMap((day) => {
    const place = span - 1 - Math.round((today - Date.parse(day.day)) / 864e5);
    if (place < 0 || place >= span) return [];
    const tall = Math.max(1, (height - 1) * day.rows / most), lost = tall * day.rejected / Math.max(1, day.rows);
    const bar = svg("rect", { class: "day", x: place * step, y: height - tall, width: Math.max(1, step - 1), height: tall });
    bar.append(svg("title", {}, `${day.day}: ${count(day.rows)} rows, ${count(day.rejected)} rejected`));
    return lost > 0.5 ? [bar, svg("rect", { class: "lost", x: place * step, y: height - tall, width: Math.max(1, step - 1), height: lost })] : [bar];
  });
  const said = days.length ? `Rows a day over ${span} days: ${count(days.at(-1).rows)} on ${days.at(-1).day}, at most ${count(most)}` : `No rows in ${span} days`;
  return svg("svg", { class: "daily", viewBox: `0 0 ${width} ${height}`, width, height, preserveAspectRatio: "none", role: "img", "aria-label": said },
    svg("line", { class: "floor", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }), ...bars);
}
