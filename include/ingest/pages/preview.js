// What a check or a preview of an edited dataset file found.
import { make } from "./page.js";
import { count, fileName, head, plural, size } from "./words.js";

export function triedText(found) {
  if (!found.preview) {
    return [make("ul", { className: "notes" }, make("li", { className: "good", textContent: "No fault found." })),
      make("dl", { className: "facts" }, ...Object.entries(found.facts ?? {}).map(([name, text]) => make("div", {}, make("dt", { textContent: name === "source" ? "Last file by its source" : "Schedule" }), make("dd", { className: "path", textContent: text }))))];
  }
  const one = found.preview;
  return [
    make("p", {}, one.sample ? `The first ${plural(one.sample, "record")} of ` : `All ${plural(one.counts.read, "record")} of `, make("span", { className: "path", textContent: one.file, title: one.file }), ` (${size(one.bytes)}): ${count(one.counts.read - one.counts.rejected - one.counts.superseded)} would land, ${count(one.counts.superseded)} lose to a later one of their key, ${count(one.counts.rejected)} are rejected.`),
    make("ul", { className: "notes" }, ...one.reasons.map((text) => make("li", { className: "bad", textContent: text })), ...columnNotes(one)),
    make("h2", { textContent: "First rows, as they would land" }), firstRows(one),
    ...(one.rejects.length ? [make("h2", { textContent: "Rejected, by rule" }), rejects(one)] : []),
    make("p", { className: "quiet" }, "Rows are read and checked, and compared with nothing. What would be inserted, updated and deleted is said by ", make("code", { textContent: `./run dataset preview ${one.dataset}` }), "."),
  ];
}

function columnNotes(one) {
  const said = [
    ["Columns of the file that the dataset does not name", one.ignored], ["Columns that the file lacks", one.missing],
    ["Columns under another name", Object.entries(one.renamed).map(([column, name]) => `${column} as ${name}`)], ["Columns that go into the rescue column", one.rescued],
  ];
  return [...said.filter(([, list]) => list.length).map(([title, list]) => make("li", { className: "none", textContent: `${title}: ${list.join(", ")}.` })), ...one.notes.map((text) => make("li", { className: "warn", textContent: text }))];
}

function firstRows(one) {
  if (!one.first_rows.length) return make("p", { textContent: "No row would land." });
  return make("div", { className: "wide", tabIndex: 0, attributes: { role: "region", "aria-label": "First rows" } }, make("table", {}, head(...one.columns.map((name) => [name])),
    make("tbody", {}, ...one.first_rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", cell === null ? { className: "quiet", textContent: "null" } : { className: "value", textContent: cell })))))));
}

function rejects(one) {
  return make("table", { className: "cards" }, head(["Rule"], ["Records", "number"], ["The first of them"]),
    make("tbody", {}, ...one.rejects.map((rule) => make("tr", {}, make("th", { scope: "row", textContent: rule.rule }), make("td", { className: "number", textContent: count(rule.rows), attributes: { "data-label": "Records" } }),
      make("td", { attributes: { "data-label": "First" } }, make("ul", { className: "values records" }, ...rule.first.map((found) => make("li", {}, `${one.files > 1 ? `${fileName(found.file)}, ` : ""}line ${count(found.line)}${found.column ? `, ${found.column}` : ""}: ${found.reason}`, make("small", {}, make("code", { className: "raw", textContent: found.raw })))))))))); 
}
