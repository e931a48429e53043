// What a profile found: lines, types, and the chain to what holds the memory; and what changed between two of them.
import { airflowLink, bytes, call, make } from "./page.js";
import { count, lasting, moment, signed, size } from "./words.js";

const LINK = /^(\[(?:b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^\]]*)\]|\.\S+|→|element|content|local variable \S+|local) (.+)$/s;
const NAMES = { anonymous_bytes: "Anonymous memory", blocks: "Allocated blocks of Python", objects: "Objects the collector knows", frozen_objects: "Frozen objects", heap_bytes: "Bytes in use in malloc", free_bytes: "Bytes malloc holds back" };

/** The profiles of a process: a choice of one and what it found, then what changed. */
export async function profileSection(path, profiles, order) {
  const title = make("h2", { textContent: "What holds the memory" });
  if (!profiles.length) return [title, make("p", { className: "quiet" }, "It has not been profiled. The audit profiles what it suspects; to have every process profiled now, choose ‘force’ in the form of ", airflowLink("dags/audit_memory", "audit_memory"), ". ", ordered(order))];
  const found = make("div"), changed = make("div");
  const choice = select("Profile", profiles.map((one) => [one.evidence_id, moment(one.taken_at)]), (id) => showProfile(found, path, id));
  const before = select("From", [["", "the beginning of that profile"], ...profiles.map((one) => [one.evidence_id, moment(one.taken_at)])], compare);
  const after = select("to", profiles.map((one) => [one.evidence_id, moment(one.taken_at)]), compare);
  const pick = (label, value) => { label.querySelector("select").value = value; };
  function compare() { return showDifference(changed, path, before.querySelector("select").value, after.querySelector("select").value); }
  if (profiles.length > 1) pick(before, profiles.at(-1).evidence_id);
  await Promise.all([showProfile(found, path, profiles[0].evidence_id), compare()]);
  return [make("header", {}, title, choice), found, make("header", {}, make("h2", { textContent: "What changed" }), before, after), changed];
}

function ordered(order) {
  if (!order) return "";
  if (order.fault) return `The profile requested at ${moment(order.ordered_at)} failed: ${order.fault}.`;
  return order.done_at ? "" : `A profile was requested at ${moment(order.ordered_at)}${order.taken_at ? ", and is in progress" : "; the watcher of its machine has not picked it up yet"}.`;
}

function select(name, options, choose) {
  const list = make("select", { onchange: () => choose(list.value) }, ...options.map(([value, text]) => make("option", { value, textContent: text })));
  return make("label", {}, `${name} `, list);
}

async function showProfile(place, path, id) {
  const url = `${path}/evidence/${id}`, { evidence } = await call(url).catch((fault) => ({ evidence: { fault } }));
  if (evidence.fault) { place.replaceChildren(make("p", { className: "fault", textContent: evidence.fault.message })); return; }
  const traced = evidence.traced ?? { lines: [], parts: 0, seconds: 0 };
  place.replaceChildren(
    make("p", { className: "quiet" }, `${traced.seconds.toFixed(0)} seconds in ${traced.parts} parts; the longest pause was ${(evidence.longest_pause_seconds * 1000).toFixed(0)} ms. `,
      ...[traced.ended_early, ...evidence.notes].filter(Boolean).map((note) => `${note}. `),
      make("a", { className: "json", href: url, download: `memory-profile-${id}.json`, textContent: "JSON" })),
    make("h3", { textContent: "What refers to it" }), ...chains(evidence.holders),
    make("h3", { textContent: "Lines whose allocations stay" }), lines(traced),
    make("h3", { textContent: "Types that grow" }), types(evidence.types));
}

function chains(holders) {
  if (!holders.length) return [make("p", { className: "quiet", textContent: "Nothing that grew was found." })];
  return holders.map((holder) => {
    const links = holder.chain.map((text, n) => {
      const [, via, what] = LINK.exec(n ? text : "") ?? [null, "", text];
      const end = n === holder.chain.length - 1 ? " target" : n === 0 ? " root" : "";
      return make("li", { className: `link${end}` }, ...(n ? [make("span", { className: "via", textContent: via === "→" ? "" : via })] : []), make("span", { className: "box", textContent: what }));
    });
    const bound = holder.bound ? `A cache that is still filling: ${count(holder.bound.entries)} of ${count(holder.bound.limit)} entries in ${holder.bound.holder}.` : "";
    return make("figure", { className: "chain" },
      make("figcaption", {}, make("b", { textContent: holder.what }), `: ${count(holder.before)} → ${count(holder.after)} (${signed(holder.after - holder.before)}) while it was profiled${holder.bytes ? `, about ${bytes(holder.bytes)}` : ""}. ${bound}`,
        ...(holder.complete ? [] : [" No module, class or running function was found at its root."])),
      make("ol", { attributes: { "aria-label": "References, from the root down" } }, ...links));
  });
}

function lines(traced) {
  if (!traced.lines.length) return make("p", { className: "quiet", textContent: "No line kept memory while it was traced." });
  return table(["Line", "#Bytes", "#Count", "#Grew in"], traced.lines.map((line, n) => [traceback(line.frames, n === 0), bytes(line.bytes), count(line.count), `${line.grew} of ${traced.parts} parts`]));
}

function traceback(frames, open = false) {
  const [first, ...rest] = frames;
  if (!rest.length) return make("code", { textContent: first });
  return make("details", { open }, make("summary", {}, make("code", { textContent: first })),
    make("ol", { className: "frames" }, ...rest.map((frame) => make("li", {}, "called from ", make("code", { textContent: frame })))));
}

function types(found) {
  if (!found.length) return make("p", { className: "quiet", textContent: "No type has more objects than before." });
  return table(["Type", "#Before", "#After", "#Change"], found.map((one) => [make("code", { textContent: one.name }), count(one.before), count(one.after), signed(one.after - one.before)]));
}

async function showDifference(place, path, before, after) {
  const url = `${path}/difference?${new URLSearchParams({ after, ...(before && { before }) })}`;
  let found;
  try { found = await call(url); } catch (fault) { place.replaceChildren(make("p", { className: "fault", textContent: fault.message })); return; }
  const changes = (title, all, named, text = count, rows = all.filter((row) => row.change !== 0)) => (rows.length ? [make("h3", { textContent: title }),
    table(["What", "#Before", "#After", "#Change"], rows.map((row) => [named(row), text(row.before, row), text(row.after, row), signed(row.change, (n) => text(n, row))]))] : []);
  const figure = (n, row) => (row.name.endsWith("_bytes") ? size(n) : count(n));
  place.replaceChildren(
    make("p", { className: "quiet" }, `${moment(found.before.at * 1000)} to ${moment(found.after.at * 1000)}, ${lasting(found.after.at - found.before.at)}. A profile names the greatest only: – is not among them. `,
      make("a", { className: "json", href: url, download: "memory-difference.json", textContent: "JSON" })),
    ...changes("Counters", found.counters.filter((row) => row.before !== null || row.after !== null), (row) => NAMES[row.name] ?? row.name, figure),
    ...changes("Objects by type", found.types, (row) => make("code", { textContent: row.name })),
    ...changes("Entries by holder", found.holders, (row) => make("code", { textContent: row.chain.join(" ") })),
    ...changes(before ? "Bytes that a line kept during each profile" : "Bytes that a line kept", found.lines, (row) => traceback(row.frames), size));
}

/** A table; the columns whose names begin with # hold figures. */
function table(names, rows) {
  const figures = names.map((name) => (name.startsWith("#") ? "number" : ""));
  return make("div", { className: "wide" }, make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name, n) => make("th", { scope: "col", className: figures[n], textContent: name.replace("#", "") })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, n) => make("td", { className: figures[n] }, cell)))))));
}
