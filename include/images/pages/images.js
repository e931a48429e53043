import { by, bytes, call, make, moment, ZONE } from "./page.js";

const LOOK_MS = 1000, IDLE_MS = 5000, PAGE = 50;
const shown = new Map(); // id -> {element, json}
const PLAIN = { broken: "The file is damaged or cut short: upload it again." };
let state = "", next = null;

function note(text) {
  const item = make("li", {}, make("span", { textContent: text }));
  item.append(make("button", { textContent: "Close", onclick: () => item.remove() }));
  by("notes").prepend(item);
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
  if (source.frames > 1) parts.push(image.only_first_frame ? `${source.frames} frames, only the first used` : `${source.frames} frames`);
  parts.push(`${moment(image.created_at)} ${ZONE}`, image.owner);
  return parts.join(" · ");
}

function draw(image) {
  const words = { accepted: "waiting", resizing: "resizing", done: "done", failed: "failed" };
  const middle = make("div", {},
    make("div", { className: "name", textContent: image.file_name }),
    make("div", { className: "facts", textContent: facts(image) }));
  if (image.reason) middle.append(make("div", { className: "reason" }, ...(PLAIN[image.code] ? [make("b", { textContent: `${PLAIN[image.code]} ` })] : []), `${image.reason} (${image.code})`));
  if (image.renditions.length) {
    middle.append(make("div", { className: "renditions" }, ...image.renditions.map((one) => make("a", {
      href: one.url, onclick: (event) => { event.preventDefault(); enlarge(image, one); },
      textContent: `${one.name} ${one.width} × ${one.height} ${one.format}, ${bytes(one.bytes)}` }))));
  }
  const actions = make("div", { className: "actions" },
    make("span", { className: `state ${image.state}`, textContent: words[image.state] }));
  if (image.state === "failed") {
    actions.append(make("button", { textContent: "Try again", onclick: () => act(`images/${image.id}/retry`, "POST") }));
  }
  actions.append(make("button", { textContent: "Delete", onclick: () => remove(image) }));
  return make("li", { id: `image-${image.id}` }, thumbnail(image), middle, actions);
}

// The page stands in a frame that may open no other: a picture is shown above it.
function enlarge(image, one) {
  const extension = one.url.split("?")[0].split(".").pop();
  by("picture").src = by("download").href = one.url;
  by("download").download = `${image.file_name.replace(/\.\w+$/, "")}-${one.name}.${extension}`;
  by("download").textContent = `Download ${by("download").download}`;
  by("large").showModal();
}

/** Delete a picture when the user says yes. Airflow's frame lets no page open the browser's own question. */
function remove(image) {
  by("ask-text").textContent = `${image.file_name} and its renditions are deleted for good.`;
  by("ask-yes").onclick = () => { by("ask").close(); act(`images/${image.id}`, "DELETE"); };
  by("ask").showModal();
  by("ask-no").focus();
}

async function act(path, method) {
  try { await call(path, { method }); } catch (fault) { note(fault.message); }
  await look();
}

function put(images, where) {
  for (const image of images) {
    const json = JSON.stringify(image), known = shown.get(image.id);
    if (known && known.json === json) continue;
    const element = draw(image);
    if (known) known.element.replaceWith(element);
    else by("images")[where](element);
    shown.set(image.id, { element, json });
  }
}

async function look() {
  const query = new URLSearchParams({ limit: PAGE, ...(state && { state }) });
  const [page, counts] = await Promise.all([call(`images?${query}`), call("counts")]);
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
  by("counts").textContent =
    `${counts.accepted + counts.resizing} waiting, ${counts.done} done, ${counts.failed} failed`;
  performance.mark("shown");
  return counts.accepted + counts.resizing > 0;
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
  for (const button of by("filter").children) button.setAttribute("aria-pressed", String(button === event.target));
  by("images").replaceChildren(); shown.clear(); next = null;
  look().catch((fault) => note(fault.message));
});
by("more").addEventListener("click", async () => {
  const page = await call(`images?${new URLSearchParams({ limit: PAGE, after: next, ...(state && { state }) })}`);
  put(page.images, "append");
  next = page.next; by("more").hidden = !next;
});
by("files").disabled = false;
by("ask-no").addEventListener("click", () => by("ask").close());
by("close").addEventListener("click", () => by("large").close());
by("large").addEventListener("click", (event) => { if (event.target === by("large")) by("large").close(); });
watch();
