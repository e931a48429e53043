// The editor of one rejected row: its fields or its whole text, what the checks say of it, and who changed what.
import { call, make } from "./page.js";
import { ago, count, fileName } from "./words.js";

const DID = { corrected: "corrected it", restored: "took the correction back", dismissed: "dismissed it", reopened: "opened it again" };

/** Opens below the row of the list; `done` is called at the end, with the row as it is then if that was changed. */
export async function openEditor(place, row, done) {
  if (place.nextElementSibling?.classList.contains("editor")) { place.nextElementSibling.querySelector("input, textarea, button:enabled").focus(); return; }
  draw(place, await call(`rejected/${row.id}`), done);
}

function draw(place, shown, done) {
  const cell = make("td", { colSpan: place.cells.length });
  const line = make("tr", { className: "editor" }, cell);
  if (place.nextElementSibling?.classList.contains("editor")) place.nextElementSibling.remove();
  place.after(line);
  const close = (changed) => { line.remove(); done(changed); };
  cell.append(make("h2", { id: `edit-${shown.id}`, textContent: `Line ${count(shown.line_number)} of ${fileName(shown.file)}` }));
  const open = shown.state === "open" || shown.state === "corrected";
  if (open && shown.may_change) cell.append(form(place, shown, close, done));
  else cell.append(...closed(shown, open, close, () => reload(place, shown, done)));
  cell.append(history(shown));
  line.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); close(null); } });
  (cell.querySelector("[aria-invalid]") ?? cell.querySelector("input, textarea") ?? cell.querySelector("button")).focus();
}

const reload = async (place, shown, done) => draw(place, await call(`rejected/${shown.id}`), done);

/** A row that can't be edited here: why, and the way back where there is one. */
function closed(shown, open, close, again) {
  const said = make("div", { className: "said", attributes: { role: "status" } });
  const why = open ? `To change it, one must be allowed to start runs of ingest_${shown.dataset}.`
    : shown.state === "dismissed" ? "The row is dismissed: no replay takes it." : `The row is ${shown.state}: it can't be changed any more.`;
  const reopen = make("button", { type: "button", textContent: "Open it again", onclick: async () => {
    reopen.disabled = true;
    try {
      const answer = await call(`rejected/${shown.id}/dismissal?seen=${shown.seen}`, { method: "DELETE" });
      if (answer.refused) said.replaceChildren(meanwhile(answer, again)); else close(answer);
    } catch (fault) { said.replaceChildren(note("bad", fault.message)); }
    reopen.disabled = false;
  } });
  return [make("p", { className: "quiet", textContent: why }), said, make("div", { className: "tools" },
    ...(shown.state === "dismissed" && shown.may_change ? [reopen] : []), make("button", { type: "button", textContent: "Close", onclick: () => close(null) }))];
}

function form(place, shown, close, done) {
  const said = make("div", { className: "said", attributes: { role: "status" } });
  const byColumn = shown.fields.length > 0, parts = { fields: byColumn ? fields(shown) : null, record: record(shown) };
  let mode = byColumn ? "fields" : "record";
  const switches = Object.entries({ fields: "By column", record: "Whole record" }).map(([name, textContent]) => make("button", { type: "button", textContent, disabled: !parts[name], onclick: () => choose(name), attributes: { "data-mode": name } }));
  const choose = (name) => {
    mode = name;
    for (const one of switches) one.setAttribute("aria-pressed", String(one.dataset.mode === name));
    for (const [other, part] of Object.entries(parts)) if (part) part.node.hidden = other !== name;
  };
  const edit = () => parts[mode].edit();
  const check = make("button", { type: "button", textContent: "Check" }), save = make("button", { type: "submit", className: "main", textContent: "Save" });
  const buttons = [check, save, ...(shown.state === "corrected" ? [make("button", { type: "button", textContent: "Take the correction back", onclick: () => act(() => call(`rejected/${shown.id}/correction?seen=${shown.seen}`, { method: "DELETE" })) })] : []),
    make("button", { type: "button", textContent: "Dismiss…", onclick: () => { dismissal.hidden = !dismissal.hidden; if (!dismissal.hidden) dismissal.querySelector("input").focus(); } }),
    make("button", { type: "button", textContent: "Cancel", onclick: () => close(null) })];
  const act = async (ask) => {
    for (const one of buttons) one.disabled = true;
    try {
      const answer = await ask();
      if (answer.refused) said.replaceChildren(meanwhile(answer, () => reload(place, shown, done)));
      else close(answer);
    } catch (fault) { said.replaceChildren(note("bad", fault.message)); }
    for (const one of buttons) one.disabled = false;
  };
  const dismissal = dismissing(shown, (why) => act(() => call(`rejected/${shown.id}/dismissal`, sent("PUT", { why, seen: shown.seen }))));
  check.addEventListener("click", async () => {
    check.disabled = true;
    said.replaceChildren(note("none", "Checking…"));
    try { said.replaceChildren(...verdict(await call(`rejected/${shown.id}/check`, sent("POST", edit() ?? {})), parts, mode)); } catch (fault) { said.replaceChildren(note("bad", fault.message)); }
    check.disabled = false;
    if (document.activeElement === document.body) check.focus();
  });
  const made = make("form", { noValidate: true, attributes: { "aria-labelledby": `edit-${shown.id}` } },
    make("p", {}, make("b", { textContent: shown.rule }), ` ${shown.column_name ? `${shown.column_name}: ` : ""}${shown.reason}`),
    make("div", { className: "tools", attributes: { role: "group", "aria-label": "Edit" } }, ...switches),
    ...(byColumn ? [] : [make("p", { className: "quiet", textContent: `${shown.no_fields}: edit the whole record.` })]),
    ...Object.values(parts).filter(Boolean).map((part) => part.node), said, make("div", { className: "tools" }, ...buttons), dismissal);
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    const changed = edit();
    if (!changed) said.replaceChildren(note("none", "Nothing was changed yet."));
    else act(() => call(`rejected/${shown.id}/correction`, sent("PUT", { ...changed, seen: shown.seen })));
  });
  choose(mode);
  return made;
}

/** Asks why the row needs no replay; hidden until somebody wants to dismiss it. */
function dismissing(shown, dismiss) {
  const id = `why-${shown.id}`, input = make("input", { id, maxLength: 1000, autocomplete: "off" });
  // Enter dismisses: it must not save the form around it.
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); dismiss(input.value); } });
  return make("div", { className: "tools dismissal", hidden: true }, make("label", { htmlFor: id, textContent: "Why it needs no replay (may be empty)" }), input,
    make("button", { type: "button", textContent: "Dismiss the row", onclick: () => dismiss(input.value) }));
}

const sent = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
const note = (tone, ...children) => make("p", { className: `told ${tone}` }, ...children);

/** A field for each column, as they stand in the file; what is at fault says why. */
function fields(shown) {
  const blamed = (shown.column_name ?? "").split(", ");
  const all = shown.fields.map(({ column, value, type }, place) => {
    const id = `field-${shown.id}-${place}`, wrong = blamed.includes(column);
    // A line of text would lose line ends.
    const input = make(/[\r\n]/.test(value) ? "textarea" : "input", { id, value, autocomplete: "off", spellcheck: false, attributes: { ...(wrong && { "aria-invalid": "true" }), "aria-describedby": `${id}-why` } });
    const why = make("small", { id: `${id}-why`, className: "why", textContent: wrong ? shown.reason : "" });
    return { column, input, why, was: input.value, node: make("div", { className: "field" }, make("label", { htmlFor: id }, column, ...(type ? [make("small", { textContent: type })] : [])), input, why) };
  });
  const changed = () => all.filter((one) => one.input.value !== one.was);
  return {
    node: make("div", { className: "fields" }, ...all.map((one) => one.node)),
    edit: () => (changed().length ? { fields: Object.fromEntries(changed().map((one) => [one.column, one.input.value])) } : null),
    mark: (faults) => {
      for (const one of all) {
        const fault = faults.find((found) => (found.column ?? "").split(", ").includes(one.column));
        one.why.textContent = fault ? fault.reason : "";
        if (fault) one.input.setAttribute("aria-invalid", "true"); else one.input.removeAttribute("aria-invalid");
      }
    },
  };
}

function record(shown) {
  const now = shown.corrected ?? shown.raw, id = `record-${shown.id}`;
  const input = make("textarea", { id, value: now, rows: 3, spellcheck: false, className: "raw" }), was = input.value;
  return { node: make("div", { className: "whole" }, make("label", { htmlFor: id, textContent: "Record, as a line of the file" }), input), edit: () => (input.value === was ? null : { record: input.value }), mark: () => {} };
}

function verdict(answer, parts, mode) {
  parts[mode].mark(answer.faults);
  if (answer.accepted) return [note("good", "It passes every check of the dataset, and would be accepted.")];
  return answer.faults.map((one) => note("bad", ...(one.rule === "record" ? [] : ["It would be rejected again: "]), one.column ? `${one.column}: ` : "", one.reason));
}

/** What somebody else wrote, which is not overwritten unseen. */
function meanwhile({ refused, change }, again) {
  return make("div", {}, note("bad", `${refused}. `, `That was `, ago(change.at, new Date()), "."),
    ...(change.record === null ? [] : [make("p", {}, "It is now ", make("code", { className: "raw", textContent: change.record }))]),
    make("button", { type: "button", textContent: "Begin with what is there now", onclick: again }));
}

function history(shown) {
  if (!shown.changes.length) return make("p", { className: "quiet", textContent: "Nobody has changed it." });
  const list = shown.changes.map((one) => make("li", {}, make("b", { textContent: one.who }), ` ${DID[one.action]}, `, ago(one.at, new Date()), one.why ? `: ${one.why}` : ".",
    ...(one.after === null ? [] : [make("dl", { className: "change" }, make("dt", { textContent: "from" }), make("dd", {}, make("code", { className: "raw", textContent: one.before })), make("dt", { textContent: "to" }), make("dd", {}, make("code", { className: "raw", textContent: one.after })))])));
  return make("section", { attributes: { "aria-label": "Who changed what" } }, make("h3", { textContent: "Who changed what" }), make("ol", { className: "changes" }, ...list));
}
