// Figures in words, the same everywhere on the page.
import { bytes, count, lasting, stamp as moment, ZONE } from "./page.js";

export { count, lasting, moment, ZONE };

export const HOURS = [1, 6, 24, 48, 168];
const LATE_MS = 15 * 60000; // more than a run of the audit takes
export const VERDICTS = { leaking: "bad", "growing (watch)": "warn", steady: "good" };

export const span = (hours) => (hours < 168 ? `${hours} h` : `${hours / 24} d`);
export const signed = (n, text = count) => (n === null || n === undefined ? "–" : n === 0 ? "±0" : `${n > 0 ? "+" : "−"}${text(Math.abs(n))}`);
export const size = (n) => (n === null || n === undefined ? "–" : bytes(n));

/** A figure at an axis, short. */
export function short(n) {
  return n >= 1e6 ? `${+(n / 1e6).toFixed(2)} M` : n >= 1e3 ? `${+(n / 1e3).toFixed(1)} k` : String(+n.toFixed(1));
}

/** MB an hour, with as many digits as say something; `plus` stands before a growth. */
export function rate(n, plus = "") {
  const digits = Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2;
  const text = Math.abs(n).toFixed(digits);
  return Number(text) === 0 ? text : `${n > 0 ? plus : "−"}${text}`;
}

export function left(process) {
  const hours = process.hours_left;
  if (hours === null) return null;
  if (hours <= 0) return "at its limit";
  return lasting(hours * 3600);
}

/** Why a process has its verdict, or when it can have one. */
export function why(process) {
  const said = process.why ?? (process.ended ? "It ended before it was judged." : "It has been sampled.");
  if (!process.due_at) return said;
  const late = Date.now() - new Date(process.due_at) > LATE_MS, at = moment(process.due_at);
  return late ? `${said} Its verdict was due at ${at}: is the DAG audit_memory paused?` : `${said} Its verdict is due at ${at}; a very fast leak is told before.`;
}

export function address(process) {
  return ["processes", process.host, process.pid, process.start_ticks].map(encodeURIComponent).join("/");
}
