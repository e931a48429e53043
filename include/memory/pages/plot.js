// Plots as SVG. Colours come from the style sheet, so that both themes are served.
import { make } from "./page.js";
import { moment } from "./words.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const EDGE = { left: 64, right: 16, bottom: 24 }, LABEL = 15, LANE = 16, CLOSE = 5;
const HELP = "Point at the plot, or use the arrow keys, to read it; click two moments to compare them.";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A small line without axes. It spans a tenth of the level at least, so that noise does not look like growth. */
export function spark(values, label) {
  const width = 150, height = 34, known = values.filter((value) => value !== null);
  const box = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  if (!known.length) return box;
  const [low, high] = spread(Math.min(...known), Math.max(...known));
  const x = (n) => 3 + (width - 8) * n / (values.length - 1), y = (value) => height - 4 - (height - 8) * (value - low) / (high - low);
  const points = values.map((value, n) => (value === null ? null : [x(n), y(value)]));
  box.append(svg("path", { class: "line", d: path(points) }));
  const end = points.filter(Boolean).at(-1);
  box.append(svg("circle", { class: "dot", cx: end[0], cy: end[1], r: 2.5 }));
  return box;
}

/**
 * A plot over time that is read with the pointer or the arrow keys; a click or Enter keeps a moment, a second one tells
 * the difference. Times are in milliseconds. `curves`: [{name, at, value, low, high}], the first is the one that is
 * read. `marks`: [{at, kind, text}]. `spans`: [{from, to, rank, text}], drawn in lanes below.
 */
export function plot({ since, until, step, curves, limit = null, marks = [], spans = [], height = 260, label, words, axis = words, help = HELP }) {
  const figure = make("div", { className: "plot", tabIndex: 0, attributes: { role: "group", "aria-label": label } });
  const said = make("output", { className: "said" });
  const state = { at: null, kept: [] };
  const draw = () => {
    const width = Math.max(figure.clientWidth || 800, 320);
    figure.replaceChildren(drawing({ since, until, step, curves, limit, marks, spans, height, words, axis, width, state }), said);
  };
  const main = curves[0];
  const tell = () => {
    said.textContent = sentence(main, state, words) ?? help;
    draw();
  };
  const choose = (event) => {
    const box = figure.firstChild.getBoundingClientRect();
    const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
    state.at = nearest(main.at, since + share * (until - since));
  };
  const keep = () => {
    if (state.at === null) return;
    state.kept = state.kept.length === 1 ? [...state.kept, state.at] : [state.at];
    tell();
  };
  figure.addEventListener("pointermove", (event) => { const old = state.at; choose(event); if (state.at !== old) tell(); });
  figure.addEventListener("pointerleave", () => { state.at = null; tell(); });
  figure.addEventListener("click", (event) => { choose(event); keep(); });
  figure.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
    if (steps !== undefined && main.at.length) {
      state.at = Math.min(main.at.length - 1, Math.max(0, (state.at ?? main.at.length - 1) + steps));
    } else if (event.key === "Enter" || event.key === " ") keep();
    else if (event.key === "Escape") Object.assign(state, { at: null, kept: [] });
    else return;
    event.preventDefault();
    tell();
  });
  new ResizeObserver(() => { if (figure.firstChild?.viewBox?.baseVal.width !== Math.max(figure.clientWidth, 320)) draw(); }).observe(figure);
  tell();
  return figure;
}

function drawing({ since, until, step, curves, limit, marks, spans, height, words, axis, width, state }) {
  const labels = placed(grouped(marks, since, until, width), width);
  const top = 8 + LABEL * (1 + Math.max(-1, ...labels.map((mark) => mark.row)));
  const lanes = laned(spans), lowest = top + height, whole = lowest + EDGE.bottom + (lanes.rows ? lanes.rows * LANE + 6 : 0);
  const values = curves.flatMap((curve) => [...(curve.low ?? curve.value), ...(curve.high ?? [])]).filter((value) => value !== null);
  const reached = Math.max(...values), shown = limit !== null && limit <= reached * 1.6 ? limit : null;
  const [low, high, ticks] = scale(Math.min(...values), Math.max(reached, shown ?? 0), height < 150 ? 3 : 5);
  const x = (at) => EDGE.left + (width - EDGE.left - EDGE.right) * (at - since) / (until - since);
  const y = (value) => lowest - height * (value - low) / (high - low);
  const box = svg("svg", { viewBox: `0 0 ${width} ${whole}`, width, height: whole, "aria-hidden": "true" });
  for (const tick of ticks) {
    box.append(svg("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: EDGE.left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick === 0 ? "0" : axis(tick).replace(/\.0+ /, " ")));
  }
  for (const [at, text] of hoursTicks(since, until, width)) {
    box.append(svg("line", { class: "grid", x1: x(at), x2: x(at), y1: lowest, y2: lowest + 4 }),
      svg("text", { class: "tick", x: x(at), y: lowest + 17, "text-anchor": "middle" }, text));
  }
  const texts = labels.map((mark) => drawnMark(box, mark, lowest, width));
  for (const curve of [...curves].reverse()) box.append(...drawnCurve(curve, x, y, step));
  if (shown !== null) {
    box.append(svg("line", { class: "limit", x1: EDGE.left, x2: width - EDGE.right, y1: y(shown), y2: y(shown) }),
      svg("text", { class: "limit-text", x: EDGE.left + 6, y: y(shown) - 5 }, `limit ${words(limit)}`));
  }
  for (const one of lanes.spans) {
    const begin = Math.max(x(one.from), EDGE.left), end = Math.min(Math.max(x(one.to), begin + 2), width - EDGE.right);
    const at = lowest + EDGE.bottom + one.lane * LANE;
    box.append(svg("rect", { class: one.rank ? "run greedy" : "run", x: begin, y: at, width: Math.max(end - begin, 2), height: LANE - 4, rx: 2 },
      svg("title", {}, one.text)));
    if (one.rank) box.append(svg("text", { class: "rank", x: Math.min(end + 3, width - 8), y: at + 10 }, String(one.rank)));
  }
  box.append(...texts); // above every line, as a mark's line may cross another's text
  for (const n of [...state.kept, ...(state.at === null ? [] : [state.at])]) {
    const at = x(curves[0].at[n]);
    box.append(svg("line", { class: "cursor", x1: at, x2: at, y1: top, y2: lowest }),
      svg("circle", { class: "cursor-dot", cx: at, cy: y(curves[0].value[n]), r: 4 }));
  }
  return box;
}

function drawnCurve(curve, x, y, step) {
  const drawn = [];
  for (const piece of pieces(curve, step)) {
    if (curve.low) {
      const up = piece.map((n) => [x(curve.at[n]), y(curve.high[n])]), down = piece.map((n) => [x(curve.at[n]), y(curve.low[n])]).reverse();
      drawn.push(svg("path", { class: `band ${curve.name}`, d: `${path([...up, ...down])}Z` }));
    }
    drawn.push(svg("path", { class: `line ${curve.name}`, d: path(piece.map((n) => [x(curve.at[n]), y(curve.value[n])])) }));
  }
  return drawn;
}

/** Draws a mark's line, and returns its text. */
function drawnMark(box, mark, lowest, width) {
  const right = mark.x > width * 0.75, y = 12 + mark.row * LABEL;
  box.append(svg("line", { class: `mark ${mark.kind}`, x1: mark.x, x2: mark.x, y1: y - 8, y2: lowest }));
  return svg("text", { class: `mark-text ${mark.kind}`, x: mark.x + (right ? -5 : 5), y, "text-anchor": right ? "end" : "start" }, mark.text);
}

/** Marks of one kind that would stand on each other become one. */
function grouped(marks, since, until, width) {
  const found = [];
  for (const mark of [...marks].sort((one, other) => one.at - other.at)) {
    const x = EDGE.left + (width - EDGE.left - EDGE.right) * (mark.at - since) / (until - since);
    const same = found.find((one) => one.kind === mark.kind && Math.abs(one.x - x) < CLOSE);
    if (same) same.texts.push(mark.text);
    else found.push({ ...mark, x, texts: [mark.text] });
  }
  return found.map((mark) => ({ ...mark, text: mark.texts.length > 1 ? `${mark.texts[0]} (+${mark.texts.length - 1})` : mark.text }));
}

/** The row of each mark's text, so that none stands on another. */
function placed(marks, width) {
  const ends = [];
  return marks.map((mark) => {
    const length = mark.text.length * 6.4 + 12, right = mark.x > width * 0.75;
    const from = right ? mark.x - length : mark.x, to = right ? mark.x : mark.x + length;
    let row = ends.findIndex((spans) => spans.every(([begin, end]) => to < begin || from > end));
    if (row < 0) row = ends.push([]) - 1;
    ends[row].push([from, to]);
    return { ...mark, row };
  });
}

function laned(spans) {
  const ends = [];
  const found = [...spans].sort((one, other) => one.from - other.from).map((one) => {
    let lane = ends.findIndex((end) => end <= one.from);
    if (lane < 0) lane = ends.length < 6 ? ends.length : 5;
    ends[lane] = one.to;
    return { ...one, lane };
  });
  return { spans: found, rows: ends.length };
}

/** Stretches without a gap: more than three steps, or three times what lies between two looks here. */
function pieces(curve, step) {
  const found = [], apart = curve.at.slice(1).map((at, n) => at - curve.at[n]).sort((one, other) => one - other);
  const gap = 3 * Math.max(step, apart[Math.floor(apart.length / 2)] ?? 0);
  curve.at.forEach((at, n) => {
    if (curve.value[n] === null) return;
    const last = found.at(-1);
    if (last && at - curve.at[last.at(-1)] <= gap) last.push(n);
    else found.push([n]);
  });
  return found;
}

function path(points) {
  let pen = "M";
  return points.map((point) => {
    if (point === null) { pen = "M"; return ""; }
    const move = `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = "L";
    return move;
  }).join("");
}

function spread(low, high) {
  const more = Math.max(0, 0.1 * Math.abs(high) - (high - low), high === low ? 1 : 0) / 2;
  return [low - more, high + more];
}

/** The ends of an axis, and its ticks: round numbers, so many at most. */
function scale(least, most, ticks) {
  let [low, high] = spread(least, most);
  low = low < 0.4 * high ? 0 : low - 0.05 * (high - low);
  const size = [1, 2, 2.5, 5, 10].map((n) => n * 10 ** Math.floor(Math.log10((high - low) / ticks))).find((n) => (high - low) / n <= ticks);
  const begin = Math.floor(low / size) * size, end = Math.ceil(high / size) * size;
  return [begin, end, Array.from({ length: Math.round((end - begin) / size) + 1 }, (_, n) => begin + n * size)];
}

function hoursTicks(since, until, width) {
  const steps = [1 / 12, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168], hours = (until - since) / 3.6e6;
  const step = (steps.find((one) => hours / one <= width / 90) ?? 168) * 3.6e6, zone = offset(until);
  const found = [];
  for (let at = Math.ceil((since - zone) / step) * step + zone; at <= until; at += step) {
    const [date, time] = moment(at).split(" ");
    found.push([at, step >= 8.64e7 || time === "00:00" ? date.slice(5) : time]);
  }
  return found;
}

/** Milliseconds from a moment's time in Airflow's zone to UTC. */
function offset(at) {
  return Math.floor((at - Date.parse(`${moment(at).replace(" ", "T")}Z`)) / 60000) * 60000;
}

function nearest(times, at) {
  if (!times.length) return null;
  return times.reduce((best, time, n) => (Math.abs(time - at) < Math.abs(times[best] - at) ? n : best), 0);
}

function sentence(curve, state, words) {
  const at = (n) => `${moment(curve.at[n])}: ${words(curve.value[n])}`;
  const pair = state.kept.length === 2 ? state.kept : state.kept.length === 1 && state.at !== null && state.at !== state.kept[0] ? [state.kept[0], state.at] : null;
  if (pair) {
    const [from, to] = [...pair].sort((one, other) => one - other), change = curve.value[to] - curve.value[from];
    const hours = (curve.at[to] - curve.at[from]) / 3.6e6, sign = change < 0 ? "−" : "+";
    return `${at(from)}  →  ${at(to)}.  ${sign}${words(Math.abs(change))} in ${hours.toFixed(1)} h, ${sign}${words(Math.abs(change / hours))} an hour`;
  }
  const n = state.at ?? state.kept[0];
  if (n === undefined || n === null) return null;
  const band = curve.low && curve.high[n] > curve.low[n] ? `, between ${words(curve.low[n])} and ${words(curve.high[n])}` : "";
  return at(n) + band;
}
