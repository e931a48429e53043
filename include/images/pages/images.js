import { airflowLink, by, bytes, call, count, make, stamp, ZONE } from "./page.js";

const LOOK_MS = 1000, IDLE_MS = 5000, TYPING_MS = 250, PAGE = 50, TAG = 100; // characters of a tag
const shown = new Map(); // id -> {element, json}
const chosen = new Set(); // ids of pictures that are ticked
// What a person can do about a failure, by its code.
const PLAIN = {
  broken: "The file is damaged or cut short: upload it again.",
  "too-large": "The picture is too large: upload a smaller one.",
  type: "This kind of file is not taken: save the picture as JPEG or PNG, and upload that.",
  bomb: "The picture unpacks to far more than its file: save it again as a plain JPEG or PNG, and upload that.",
  timeout: "It took too long. Try again when the machine is less busy, or upload a smaller picture.",
  memory: "It takes more memory than a picture may: upload a smaller one.",
  killed: "The work on it broke off several times. Try again; if it fails again, upload a smaller picture.",
  "disk-full": "The image store is full: make room there, then try again.",
  "store-away": "The image store could not be reached: try again.",
  missing: "Its file is not in the image store any more: upload it again.",
  damaged: "Its file in the image store is not what was uploaded: upload it again.",
};
const STATES = { "": "pictures", accepted: "pictures that wait", done: "pictures that are done", failed: "failed pictures" };
let state = "", name = "", tags = [], next = null, looks = 0;

function note(text, ...more) {
  const item = make("li", {}, make("span", { textContent: text }));
  item.append(make("span", { className: "bar" }, ...more, make("button", { textContent: "Close", onclick: () => item.remove() })));
  by("notes").prepend(item);
  return item;
}

function thumbnail(image) {
  const small = image.renditions.filter((one) => one.format !== "avif").sort((a, b) => a.width - b.width)[0];
  const picture = small ? make("img", { className: "thumb", alt: "", loading: "lazy" }) : make("span", { className: "thumb" });
  if (image.placeholder) picture.style.backgroundImage = `url("${image.placeholder}")`;
  if (small) picture.src = small.url;
  return picture;
}

function facts(image) {
  const source = image.source, parts = [bytes(source.bytes)];
  if (source.width) parts.unshift(`${source.format} ${source.width} × ${source.height}`);
  if (image.recipes !== "default") parts.push(`recipes ${image.recipes}`);
  if (image.focal) parts.push(`focal point ${image.focal.map((share) => `${Math.round(share * 100)} %`).join(", ")}`);
  if (image.salvaged) parts.push("cut off or damaged: this is what was there");
  if (image.facts?.taken_at) parts.push(`taken ${image.facts.taken_at.slice(0, 16).replace("T", " ")}`);
  if (image.facts?.camera_model) parts.push(image.facts.camera_model);
  if (source.frames > 1) parts.push(image.only_first_frame ? `${source.frames} frames, only the first used` : `${source.frames} frames`);
  return [parts.join(" · "), " · ", make("time", { textContent: stamp(image.created_at, true), dateTime: image.created_at }), ` · ${image.owner}`, ...trail(image.task)];
}

/** Links to the run and the log of the task that had the picture. */
function trail(task) {
  if (!task) return [];
  const run = `dags/${task.dag_id}/runs/${encodeURIComponent(task.run_id)}`;
  return [" · ", airflowLink(run, "run"), " · ", airflowLink(`${run}/tasks/${task.task_id}/mapped/${task.map_index}`, "log")];
}

function reason(image) {
  const plain = PLAIN[image.code], said = `${image.reason} (${image.code})`;
  return make("div", { className: "reason" }, ...(plain ? [make("b", { textContent: plain }), make("small", { textContent: said })] : [said]));
}

function draw(image) {
  const words = { accepted: "waiting", resizing: "resizing", done: "done", failed: "failed" };
  const middle = make("div", {},
    make("div", { className: "name", textContent: image.file_name }),
    make("div", { className: "facts" }, ...facts(image)));
  if (image.tags.length) middle.append(make("div", { className: "tags" }, ...image.tags.map((tag) =>
    make("button", { textContent: `#${tag}`, title: `Pictures with the tag ${tag}`, onclick: () => filter([...new Set([...tags, tag])]) }))));
  if (image.reason) middle.append(reason(image));
  if (image.renditions.length) {
    middle.append(make("div", { className: "renditions" }, ...image.renditions.map((one) => make("a", {
      href: one.url, onclick: (event) => { event.preventDefault(); enlarge(image, one); },
      textContent: `${one.name} ${one.width} × ${one.height} ${one.format}, ${bytes(one.bytes)}${one.target_reached === false ? ", target not reached" : ""}` }))));
  }
  const actions = make("div", { className: "actions" },
    make("span", { className: `state ${image.state}`, textContent: words[image.state] }));
  if (image.can_retry) {
    actions.append(make("button", { textContent: "Try again", onclick: () => act(`images/${image.id}/retry`, "POST") }));
  }
  actions.append(make("button", { textContent: "Delete", onclick: () => remove(image) }));
  return make("li", { id: `image-${image.id}` }, tick(image), thumbnail(image), middle, actions);
}

function tick(image) {
  const box = make("input", { type: "checkbox", checked: chosen.has(image.id), attributes: { "aria-label": `Select ${image.file_name}` } });
  box.onchange = () => { chosen[box.checked ? "add" : "delete"](image.id); tell(); };
  return make("label", { className: "tick" }, box);
}

/** Say how many are ticked, and offer what can be done with them. */
function tell() {
  for (const id of chosen) if (!shown.has(id)) chosen.delete(id);
  by("chosen").hidden = !chosen.size;
  const said = `${count(chosen.size)} selected`;
  if (by("how-many").textContent !== said) by("how-many").textContent = said; // it is read aloud at each change
  by("retry-chosen").hidden = !ticked().some((image) => image.can_retry);
}

const ticked = () => [...chosen].filter((id) => shown.has(id)).map((id) => JSON.parse(shown.get(id).json));

function untick() {
  chosen.clear();
  for (const box of by("images").querySelectorAll(".tick input")) box.checked = false;
  tell();
}

// The page stands in a frame that may open no other: a picture is shown above it.
function enlarge(image, one) {
  const extension = one.url.split("?")[0].split(".").pop();
  by("picture").src = by("download").href = one.url;
  by("download").download = `${image.file_name.replace(/\.\w+$/, "")}-${one.name}.${extension}`;
  by("download").textContent = `Download ${by("download").download}`;
  by("large").showModal();
}

const remove = (image) => ask("Delete the picture?", `${image.file_name} and its renditions are deleted.`, [`images/${image.id}?undo=true`]);

function removeChosen() {
  const which = ticked();
  ask(`Delete ${counted(which.length)}?`, "They and their renditions are deleted.", which.map((image) => `images/${image.id}?undo=true`));
}

async function retryChosen() {
  let again = 0;
  const failed = ticked().filter((image) => image.state === "failed"), can = failed.filter((image) => image.can_retry);
  for (const image of can) again += (await send(`images/${image.id}/retry`, "POST")) ? 1 : 0;
  untick();
  retried(again, failed.length - can.length);
  await look().catch(() => {}); // `watch` tells of it
}

function removeAll() {
  const which = `All failed pictures${among("their")}`;
  ask("Delete all failed pictures?", `${which} are deleted.`, [`images?${asked()}`]);
}

/** Delete when the user says yes. Airflow's frame lets no page open the browser's own question. */
function ask(title, text, paths) {
  by("ask-title").textContent = title;
  by("ask-text").textContent = `${text} You can undo this for ten minutes.`;
  by("ask-yes").onclick = async () => {
    by("ask").close();
    const done = [];
    for (const path of paths) done.push(await send(path, "DELETE"));
    await look().catch(() => {}); // `watch` tells of it
    undoable(done.filter(Boolean));
  };
  by("ask").showModal();
  by("ask-no").focus();
}

/** Say what was deleted, with a button that restores it for as long as the server can. */
function undoable(done) {
  const images = done.reduce((sum, one) => sum + one.images, 0);
  if (!images) return;
  const item = note(`${counted(images)} deleted.`, make("button", { textContent: "Undo", onclick: async () => {
    item.remove();
    for (const { undo } of done) await send(`undo/${undo}`, "POST");
    anew(); // each comes back to its place
    by("counts").focus();
  } }));
  item.className = "none";
  item.querySelector("button").focus();
  setTimeout(() => item.remove(), Math.max(0, new Date(done[0].until) - Date.now()));
}

async function retryAll() {
  const done = await act(`images/retry?${asked()}`, "POST");
  if (done) retried(done.again, done.left);
}

function retried(again, left) {
  const rest = left ? ` ${counted(left)} left as they are: the same bytes would fail in the same way.` : "";
  note(`${counted(again)} will be tried again.${rest}`).className = "none";
}

const counted = (n) => `${count(n)} ${n === 1 ? "picture" : "pictures"}`;

/** What is listed, as the interface asks for it. */
function asked() {
  const query = new URLSearchParams({ ...(state && { state }), ...(name && { name }) });
  for (const tag of tags) query.append("tag", tag);
  return query;
}

/** The same in words; of whose name it is. */
const among = (whose) => `${name ? ` with “${name}” in ${whose} name` : ""}${tags.length ? ` tagged ${tags.map((tag) => `#${tag}`).join(" ")}` : ""}`;

/** List pictures that have all these tags. */
function filter(chosen) {
  tags = chosen;
  by("tags").replaceChildren(...tags.map((tag) => make("button", { type: "button", className: "tag", textContent: `#${tag} ×`,
    ariaLabel: `Show pictures without the tag ${tag} too`, onclick: () => { filter(tags.filter((one) => one !== tag)); by("search").focus(); } })));
  anew();
}

/** Do it; the server's answer, or null after a note of why not. */
async function send(path, method) {
  try { return await call(path, { method }); } catch (fault) { note(fault.message); }
  return null;
}

/** Do it and look again. */
async function act(path, method) {
  const done = await send(path, method);
  await look().catch(() => {}); // `watch` tells of it
  return done;
}

function put(images, where) {
  for (const image of images) {
    const json = JSON.stringify(image), known = shown.get(image.id);
    if (known && known.json === json) continue;
    const element = draw(image), focused = known?.element.contains(document.activeElement) && document.activeElement;
    if (known) known.element.replaceWith(element);
    else by("images")[where](element);
    shown.set(image.id, { element, json });
    // Who is at it by keyboard stays there, though the picture is drawn anew.
    if (focused) [...element.querySelectorAll("a, button, input")].find((one) => alike(one, focused))?.focus();
  }
  tell();
}

const alike = (one, other) => one.tagName === other.tagName && one.textContent === other.textContent;

async function look() {
  const mine = ++looks, query = asked();
  query.set("limit", PAGE);
  const [page, counts] = await Promise.all([call(`images?${query}`), call("counts")]);
  if (mine !== looks) return false; // another one has begun since, perhaps with another filter
  const ids = new Set(page.images.map((image) => image.id)), oldest = page.images.at(-1);
  for (const [id, entry] of shown) {
    const image = JSON.parse(entry.json);
    const listed = !oldest || !page.next || image.created_at >= oldest.created_at;
    if (listed && !ids.has(id)) { entry.element.remove(); shown.delete(id); }
  }
  put([...page.images].reverse().filter((image) => !shown.has(image.id)), "prepend");
  put(page.images, "append");
  if (next === null) { next = page.next; by("more").hidden = !next; }
  by("empty").hidden = shown.size > 0;
  by("empty").textContent = name || tags.length || state ? `No ${STATES[state]}${among("the")}.` : "No pictures here yet. Drop some above: their renditions are here some seconds later.";
  by("all").hidden = state !== "failed" || !shown.size;
  by("retry-all").hidden = !next && ![...shown.values()].some((one) => JSON.parse(one.json).can_retry);
  by("counts").textContent =
    `${counts.accepted + counts.resizing} waiting, ${counts.done} done, ${counts.failed} failed`;
  performance.mark("shown");
  return counts.accepted + counts.resizing > 0;
}

/** Begin the list again, as something else is to be listed. */
function anew() {
  by("images").replaceChildren(); shown.clear(); untick(); next = null;
  look().catch((fault) => note(fault.message));
}

async function watch() {
  let busy = false;
  try { busy = await look(); } catch (fault) { by("counts").textContent = fault.message; }
  setTimeout(watch, busy || document.hasFocus() ? LOOK_MS : IDLE_MS);
}

async function upload(files) {
  for (const file of files) {
    try {
      const answer = await call("images", {
        method: "POST", body: file,
        headers: { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) } });
      for (const one of answer.refused) note(`${one.file_name}: ${one.reason}`);
    } catch (fault) { note(`${file.name}: ${fault.message}`); }
    await look().catch(() => {});
  }
}

by("files").addEventListener("change", (event) => { upload([...event.target.files]); event.target.value = ""; });
for (const kind of ["dragenter", "dragover"]) {
  by("drop").addEventListener(kind, (event) => { event.preventDefault(); by("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) by("drop").addEventListener(kind, () => by("drop").classList.remove("over"));
by("drop").addEventListener("drop", (event) => { event.preventDefault(); upload([...event.dataTransfer.files]); });
by("filter").addEventListener("click", (event) => {
  if (event.target.dataset.state === undefined) return;
  state = event.target.dataset.state;
  for (const button of by("filter").querySelectorAll("[data-state]")) button.setAttribute("aria-pressed", String(button === event.target));
  anew();
});
let typing;
by("search").addEventListener("input", () => {
  clearTimeout(typing);
  const written = by("search").value.trim(), part = written.startsWith("#") ? "" : written; // a tag is searched for by Enter
  if (part !== name) typing = setTimeout(() => { name = part; anew(); }, TYPING_MS);
});
by("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  const written = by("search").value.trim();
  if (!/^#[^]/.test(written)) return;
  clearTimeout(typing);
  by("search").value = name = "";
  filter([...new Set([...tags, written.slice(1).trim().slice(0, TAG)])]);
});
by("retry-all").addEventListener("click", retryAll);
by("delete-all").addEventListener("click", removeAll);
by("retry-chosen").addEventListener("click", retryChosen);
by("delete-chosen").addEventListener("click", removeChosen);
by("select-all").addEventListener("click", () => {
  for (const [id, { element }] of shown) { chosen.add(id); element.querySelector(".tick input").checked = true; }
  tell();
});
by("clear").addEventListener("click", () => { untick(); by("counts").focus(); });
by("more").addEventListener("click", async () => {
  const query = asked();
  query.set("limit", PAGE); query.set("after", next);
  const page = await call(`images?${query}`);
  put(page.images, "append");
  next = page.next; by("more").hidden = !next;
});
by("files").disabled = false;
by("clock").textContent = `Times are in ${ZONE}.`;
by("links").append(airflowLink("dags/resize_images", "How it works"), airflowLink("millrace/docs", "API"));
by("ask-no").addEventListener("click", () => by("ask").close());
by("close").addEventListener("click", () => by("large").close());
by("large").addEventListener("click", (event) => { if (event.target === by("large")) by("large").close(); });
watch();
