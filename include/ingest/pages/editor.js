// A copy of a dataset's file to edit: with completion, a check and a preview. Nothing is saved: such files are code.
import { call, make } from "./page.js";
import { suggest } from "./completion.js";
import { triedText } from "./preview.js";
import { datasetLink } from "./words.js";

const LINE = 1.5, MOST_OPTIONS = 40;  // lines of the text are so many em high

export async function showEditor([name]) {
  const [found, schema] = await Promise.all([call(`datasets/${encodeURIComponent(name)}`), call("dataset-schema")]);
  if (found.file === null) throw new Error(`There is no dataset file ${name}.yaml.`);
  const kept = recall(name), text = kept ?? found.file;
  const area = make("textarea", { id: "edited", className: "edited", value: text, spellcheck: false, wrap: "off", rows: Math.min(36, Math.max(14, text.split("\n").length + 1)),
    attributes: { autocapitalize: "off", autocomplete: "off", "aria-describedby": "edited-help", "aria-autocomplete": "list", "aria-controls": "edited-options", "data-key": "edited" } });
  const answer = make("section", { className: "answer", attributes: { "aria-live": "polite", "aria-label": "Result" } });
  area.addEventListener("input", () => remember(name, area.value, found.file));
  const start = button("Start over", () => { area.value = found.file; remember(name, area.value, found.file); answer.replaceChildren(); area.focus(); });
  return {
    title: `${name}.yaml`, again: null,
    nodes: [
      make("p", {}, "A copy of the file of ", datasetLink(name), ", to check and to try. It is not saved from here: dataset files are code. Copy or download it, and put it where the file lies: ", make("code", { className: "path", textContent: found.place }), "."),
      ...(kept !== null && kept !== found.file ? [make("p", { className: "quiet", textContent: "This is what you edited here before." })] : []),
      make("label", { htmlFor: "edited", className: "quiet", textContent: "Dataset file" }),
      make("p", { id: "edited-help", className: "quiet", textContent: "Ctrl and Space lists what may stand at the cursor; the arrow keys choose, Enter takes it, Escape closes the list." }),
      make("div", { className: "editing" }, area, completion(area, schema)),
      make("div", { className: "tools", attributes: { role: "group", "aria-label": "This text" } },
        button("Check", (own) => asked(own, answer, area, () => call(`datasets/${encodeURIComponent(name)}/check`, body(area)))),
        button("Preview", (own) => asked(own, answer, area, () => call(`datasets/${encodeURIComponent(name)}/preview`, body(area)))),
        button("Copy", (own) => copy(area, own)), button("Download", () => download(`${name}.yaml`, area.value)), start),
      answer,
    ],
  };
}

const body = (area) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: area.value }) });

function button(text, act) {
  const own = make("button", { type: "button", textContent: text, attributes: { "data-key": `edit ${text}` } });
  own.addEventListener("click", () => act(own));
  return own;
}

async function asked(own, answer, area, ask) {
  own.disabled = true;
  answer.replaceChildren(make("p", { className: "quiet", textContent: own.textContent === "Check" ? "Checking…" : "Reading the file…" }));
  try {
    const found = await ask();
    answer.replaceChildren(...[...found.faults.map((one) => fault(one, area, "bad")), ...(found.warnings ?? []).map((one) => fault(one, area, "warn"))].reduce((list, one) => (list[0].append(one), list), [make("ul", { className: "notes" })]),
      ...(found.faults.length ? [] : triedText(found)));
  } catch (trouble) {
    answer.replaceChildren(make("ul", { className: "notes" }, make("li", { className: "bad", textContent: trouble.message })));
  }
  own.disabled = false;
  own.focus();
}

/** One fault; its line leads to the place in the text. */
function fault({ line, text }, area, tone) {
  const jump = line === null ? [] : [make("button", { type: "button", className: "link", textContent: `Line ${line}`, onclick: () => goTo(area, line) }), ": "];
  return make("li", { className: tone }, ...jump, text);
}

function goTo(area, line) {
  const lines = area.value.split("\n"), from = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(from, from + lines[line - 1].length);
  area.scrollTop = Math.max(0, (line - 4) * lineHeight(area));
}

async function copy(area, own) {
  try {
    await navigator.clipboard.writeText(area.value);
    own.textContent = "Copied";
  } catch {  // not over plain http: the text is selected instead
    area.focus();
    area.select();
    own.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { own.textContent = "Copy"; }, 4000);
}

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/yaml" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const slot = (name) => `millrace edited ${name}`;
function recall(name) { try { return sessionStorage.getItem(slot(name)); } catch { return null; } }
function remember(name, text, stored) {
  try { if (text === stored) sessionStorage.removeItem(slot(name)); else sessionStorage.setItem(slot(name), text); } catch { /* it is lost when the view is left */ }
}

const lineHeight = (area) => LINE * parseFloat(getComputedStyle(area).fontSize);

/** The list of suggestions beside the cursor. The focus stays in the text; the option that is chosen is told of it. */
function completion(area, schema) {
  const list = make("ul", { id: "edited-options", className: "options", hidden: true, attributes: { role: "listbox", "aria-label": "Suggestions" } });
  const count = make("p", { className: "unseen", attributes: { role: "status" } });
  let found = { from: 0, options: [] }, active = -1;

  function close() { list.hidden = true; list.replaceChildren(); active = -1; area.removeAttribute("aria-activedescendant"); count.textContent = ""; }

  function open(first) {
    found = area.selectionStart === area.selectionEnd ? suggest(area.value, area.selectionStart, schema) : { from: 0, options: [] };
    found.options = found.options.slice(0, MOST_OPTIONS);
    if (!found.options.length) { close(); if (first) count.textContent = "Nothing to suggest here."; return; }
    list.replaceChildren(...found.options.map((one, place) => {
      const option = make("li", { id: `option-${place}`, attributes: { role: "option", "aria-selected": "false" } }, make("code", { textContent: one.label }), ...(one.detail ? [make("small", { textContent: one.detail })] : []));
      option.addEventListener("mousedown", (event) => { event.preventDefault(); take(place); });
      return option;
    }));
    list.hidden = false;
    count.textContent = `${found.options.length} ${found.options.length === 1 ? "suggestion" : "suggestions"}`;
    place();
    choose(first ? 0 : -1);
  }

  function place() {
    const before = area.value.slice(0, found.from).split("\n"), style = getComputedStyle(area), high = lineHeight(area);
    const ch = measure(style.font), left = parseFloat(style.paddingLeft) + before.at(-1).length * ch - area.scrollLeft;
    list.style.top = `${parseFloat(style.paddingTop) + before.length * high - area.scrollTop + 4}px`;
    list.style.left = `${Math.max(0, Math.min(left, area.clientWidth - list.offsetWidth))}px`;
  }

  function choose(place) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = place;
    const option = list.children[active];
    if (!option) { area.removeAttribute("aria-activedescendant"); return; }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    area.setAttribute("aria-activedescendant", option.id);
  }

  function take(place) {
    const { insert } = found.options[place], end = area.selectionStart;
    const rest = area.value.slice(end).match(/^:\s?/)?.[0] ?? "";
    area.setSelectionRange(found.from, end + (insert.endsWith(": ") ? rest.length : 0));
    // As if it was typed, so that it can be undone.
    if (!document.execCommand?.("insertText", false, insert)) { area.setRangeText(insert, area.selectionStart, area.selectionEnd, "end"); area.dispatchEvent(new Event("input")); }
    close();
    area.focus();
  }

  area.addEventListener("input", (event) => { if (event.inputType === "insertText" && /^[\w@-]$/.test(event.data ?? "")) open(false); else if (!list.hidden) open(active >= 0); });
  area.addEventListener("keydown", (event) => {
    if (event.key === " " && event.ctrlKey) { event.preventDefault(); open(true); return; }
    if (list.hidden) return;
    const last = found.options.length - 1;
    if (event.key === "ArrowDown") choose(active >= last ? 0 : active + 1);
    else if (event.key === "ArrowUp") choose(active <= 0 ? last : active - 1);
    else if (event.key === "Enter" && active >= 0) take(active);
    else if (event.key === "Escape") close();
    else { if (["ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown", "Enter"].includes(event.key)) close(); return; }
    event.preventDefault();
  });
  area.addEventListener("blur", close);
  area.addEventListener("click", close);
  area.addEventListener("scroll", () => { if (!list.hidden) place(); });
  return make("div", {}, list, count);
}

/** How wide a letter of a font is, all of which are equally wide. */
function measure(font) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  return pen.measureText("0").width;
}
