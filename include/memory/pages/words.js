// Figures in words, the same everywhere on the page.
import { bytes } from "./page.js";

export const HOURS = [6, 24, 48, 168];
export const VERDICTS = { leaking: "bad", "growing (watch)": "warn", steady: "good" };

export const span = (hours) => (hours < 168 ? `${hours} h` : `${hours / 24} d`);
export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));
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

/** A length of time: `32 s`, `42 min`, `3 h 20 min`, `22 h`, `5 days`. */
export function lasting(seconds) {
  const minutes = Math.round(seconds / 60), hours = seconds / 3600;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 10) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  if (hours < 48) return `${Math.round(hours)} h`;
  return hours < 24 * 90 ? `${Math.round(hours / 24)} days` : "over 3 months";
}

export function moment(at) {
  return new Date(at).toLocaleString("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function address(process) {
  return ["processes", process.host, process.pid, process.start_ticks].map(encodeURIComponent).join("/");
}
