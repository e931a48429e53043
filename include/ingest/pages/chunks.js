// How far a run is: a bar for all of it, and one for each chunk.
import { call, make } from "./page.js";
import { count, lasting, moreButton, plural, rejectedLink, share, size, speed, took } from "./words.js";

const PHASES = { loading: "Loading", merging: "All chunks are loaded; they are being merged into the table" };

export function wholeBar(progress) {
  const said = [
    PHASES[progress.phase], progress.phase === "loading" ? `${size(progress.bytes_loaded)} of ${size(progress.bytes)}` : "",
    progress.bytes_per_second ? speed(progress.bytes_per_second) : "",
    progress.phase === "loading" && progress.seconds_left !== null ? `${lasting(Math.max(1, progress.seconds_left))} left, then the merge` : "",
    progress.rows_rejected ? plural(progress.rows_rejected, "rejected row") : "",
  ];
  return make("div", {}, bar("All chunks", progress.bytes_loaded, progress.bytes, "whole"),
    make("p", { className: "quiet", attributes: { role: "status" }, textContent: said.filter(Boolean).join(" · ") }));
}

function bar(label, done, all, className = "") {
  const percent = all ? Math.min(100, 100 * done / all) : 0;
  return make("div", { className: `bar ${className}`, attributes: { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(percent) } },
    make("span", { className: "done", style: `width: ${percent}%` }));
}

export async function chunkBars(run, progress, found, now) {
  const list = make("ol", { className: "chunks" }, ...found.chunks.map((one) => chunk(run, one, now)));
  const more = moreButton(found.next, async (after) => {
    const page = await call(`runs/${run.run_id}/chunks?${new URLSearchParams({ after })}`);
    list.append(...page.chunks.map((one) => chunk(run, one, now)));
    return page.next;
  });
  return make("div", {}, make("p", { className: "quiet", textContent: `${progress.chunks_loaded} of ${plural(progress.chunks, "chunk")} loaded${progress.chunks_loading ? `, ${progress.chunks_loading} loading` : ""}.` }), list, more);
}

function chunk(run, one, now) {
  const ended = one.loaded_at !== null, begun = one.loaded_bytes !== null && one.loaded_bytes !== undefined;
  const seconds = ended ? one.seconds : begun && one.began_at ? (new Date(now) - new Date(one.began_at)) / 1000 : null;
  const rate = seconds > 0.2 && one.loaded_bytes ? one.loaded_bytes / seconds : null;
  const left = !ended && rate ? (one.bytes - one.loaded_bytes) / rate : null;
  const parts = ended ? [plural(one.read, "row"), took(one.seconds), speed(rate)] : begun
    ? [share(one.loaded_bytes, one.bytes), speed(rate), left === null ? "" : `${lasting(Math.max(1, left))} left`] : ["not begun"];
  const said = make("span", { className: "said" }, parts.filter((part) => part && part !== "–").join(" · "));
  if (one.rejected) said.append(" · ", rejectedLink({ run: run.run_id }, plural(one.rejected, "rejected row")));
  return make("li", { className: ended ? "good" : begun ? "busy" : "none" },
    make("span", { className: "which" }, `Chunk ${one.chunk + 1}`, make("small", { textContent: `${size(one.bytes)} from line ${count(one.first_line)}` })),
    bar(`Chunk ${one.chunk + 1}`, one.loaded_bytes ?? 0, one.bytes), said);
}
