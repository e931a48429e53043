// What every page's script uses.
export const by = (id) => document.getElementById(id);

/** An element with its properties, `attributes` and children. Text is always text, never HTML. */
export function make(tag, options = {}, ...children) {
  const { attributes = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The JSON at a path of the interface. Throws an Error that says what the server said. */
export async function call(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok && !body.refused) throw new Error(typeof body.detail === "string" ? body.detail : answer.statusText);
  return body;
}

/** Bytes in words, in units of 1000. */
export function bytes(n) {
  const size = Math.abs(n);
  if (size < 1e6) return `${Math.max(size > 0 ? 1 : 0, Math.round(size / 1e3)) * Math.sign(n)} kB`;
  return size < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`;
}

export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));

/** A length of time: `32 s`, `42 min`, `3 h 20 min`, `22 h`, `5 days`. */
export function lasting(seconds) {
  const minutes = Math.round(seconds / 60), hours = seconds / 3600;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 10) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.round(hours)} h`;
  if (hours < 48) return `${Math.round(hours)} h`;
  return hours < 24 * 90 ? `${Math.round(hours / 24)} days` : "over 3 months";
}

/** The time zone that is chosen in Airflow, which is UTC unless somebody chose another one. */
export const ZONE = (() => {
  try {
    const chosen = localStorage.getItem("timezone")?.replaceAll('"', "") ?? "UTC";
    return new Intl.DateTimeFormat("en", chosen === "local" ? {} : { timeZone: chosen }).resolvedOptions().timeZone;
  } catch { return "UTC"; }
})();

/** A point in time in Airflow's time zone: `29 Nov, 10:22`. */
export function moment(at) {
  return new Date(at).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: ZONE });
}

/** A point in time in that zone as Airflow writes it: `2026-11-29 10:22:35`, or to the minute. */
export function stamp(at, seconds = false) {
  return new Date(at).toLocaleString("sv-SE", { timeZone: ZONE }).slice(0, seconds ? 19 : 16);
}

/** A link to one of Airflow's own pages. The frame may not lead its window elsewhere, so a link of that window does. */
export function airflowLink(path, text) {
  const link = make("a", { href: `${root()}${path}`, textContent: text, target: "_top" });
  link.addEventListener("click", (event) => {
    if (window.parent === window || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const outer = window.parent.document.createElement("a");
    outer.href = link.href;
    outer.click();
  });
  return link;
}

function root() { return location.pathname.split("/millrace/")[0] + "/"; }
