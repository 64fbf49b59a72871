// Improves pages that work without it: answers without a reload, units in sight, files, copies, restarts.

const connection = document.getElementById("connection");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const RETRY_MILLISECONDS = 1000;
const READ_MILLISECONDS = 10000;
let alive;

// Replaces the part of this page that the form names by the same part of the answer.
async function send(form) {
  const button = form.querySelector("button[type=submit]");
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    show(await response.text(), response, form.dataset.part);
  } catch {
    say("The API does not answer. Your values are still here; the page tries again.");
    await waitUntilAlive();
    say("The API answers again. Your values are still here: send them once more.");
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

function show(text, response, part) {
  if (!(response.headers.get("content-type") ?? "").startsWith("text/html")) {
    say(`The API could not answer (${response.status}). Your values are still here; try again.`);
    return;
  }
  const answer = new DOMParser().parseFromString(text, "text/html");
  const problem = answer.getElementById("problem");
  if (problem) {
    say(problem.textContent.trim());
    return;
  }
  say("");
  document.title = answer.title;
  const open = [...document.querySelectorAll("details[open] summary")].map((summary) => summary.textContent);
  document.getElementById(part).replaceWith(document.adoptNode(answer.getElementById(part)));
  for (const summary of document.querySelectorAll("summary")) {
    summary.parentElement.open ||= open.includes(summary.textContent);
  }
  improve();
  const found = document.getElementById("failure") ?? document.getElementById(part === "main" ? "result" : part);
  found?.focus({ preventScroll: true });
  found?.scrollIntoView({ block: "nearest" });
}

function say(words) {
  if (connection.textContent !== words) connection.textContent = words;
}

function waitUntilAlive() {
  alive ??= askUntilAlive().finally(() => (alive = undefined));
  return alive;
}

async function askUntilAlive() {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, RETRY_MILLISECONDS));
    const response = await fetch(document.body.dataset.alive, { cache: "no-store" }).catch(() => null);
    if (response?.ok) return;
  }
}

// Reads the page again and again while somebody sees it, and changes what has changed.
async function follow(live) {
  const pause = document.getElementById("pause");
  pause.hidden = false;
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", pause.getAttribute("aria-pressed") === "false");
  });
  for (;;) {
    await new Promise((resume) => setTimeout(resume, live.dataset.every * 1000));
    while (document.hidden) await new Promise((resume) => document.addEventListener("visibilitychange", resume, { once: true }));
    if (pause.getAttribute("aria-pressed") === "false") await read(live);
  }
}

async function read(live) {
  let response, text;
  try {
    response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(READ_MILLISECONDS) });
    text = await response.text();
  } catch {
    say("The API does not answer. These are the last values; the page tries again.");
    await waitUntilAlive();
    say("The API answers again.");
    return;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
  if (!fresh) {
    say(`The API could not answer (${response.status}). These are the last values; the page tries again.`);
    return;
  }
  say("");
  localize(fresh);
  const focused = document.activeElement?.id;
  change(live, fresh);
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// Makes an element like a fresh one; what stays the same keeps its focus, its scroll position and whether it is open.
function change(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  const kept = old.nodeName === "DETAILS" ? ["open"] : [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  const children = [...fresh.childNodes];
  for (const [index, wanted] of children.entries()) {
    const present = known.get(wanted.id) ?? old.childNodes[index];
    if (present && present !== old.childNodes[index]) old.insertBefore(present, old.childNodes[index]);
    if (!present) old.append(wanted);
    else if (present.nodeName === wanted.nodeName && (present.id ?? "") === (wanted.id ?? "")) change(present, wanted);
    else present.replaceWith(wanted);
  }
  while (old.childNodes.length > children.length) old.lastChild.remove();
}

// Writes times of day in the browser's zone.
function localize(part) {
  for (const shown of part.querySelectorAll("[data-time]")) {
    const seconds = shown.textContent.length > "00:00".length ? "2-digit" : undefined;
    const form = { hour: "2-digit", minute: "2-digit", second: seconds, hourCycle: "h23" };
    shown.textContent = new Date(shown.dataset.time * 1000).toLocaleTimeString("en", form);
  }
  for (const shown of part.querySelectorAll("[data-zone]")) shown.textContent = zone;
}

// Shows what a value in another unit is in the model's own, as the server will read it.
function convert(input) {
  const field = input.closest(".field");
  const unit = field.querySelector("select");
  const shown = field.querySelector(".converted");
  const factor = Number(unit.selectedOptions[0].dataset.factor);
  const typed = input.value.trim();
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(typed) ? Number((Number(typed) * factor).toPrecision(7)) : NaN;
  const own = unit.value === shown.dataset.unit;
  const rounded = input.dataset.whole === "true" ? Math.round(value) : value;
  shown.textContent = own || typed === "" || !Number.isFinite(value) ? "" : `= ${rounded} ${shown.dataset.unit}`;
}

// Says that an answer in sight is not of the values in the form any more.
function outdate() {
  const result = document.getElementById("result");
  if (!result || document.getElementById("outdated")) return;
  const note = document.createElement("p");
  Object.assign(note, { id: "outdated", className: "notice warning", role: "status" });
  result.prepend(note);
  note.textContent = "You changed what you sent: this is the answer to the values before. Send the new ones.";
}

async function readFile(file, table) {
  if (!file) return;
  table.value = await file.text();
  outdate();
}

function improveTable(table) {
  const drop = document.getElementById("drop");
  drop.hidden = false;
  drop.querySelector("input").addEventListener("change", (event) => readFile(event.target.files[0], table));
  table.addEventListener("dragover", (event) => {
    event.preventDefault();
    table.classList.add("dropping");
  });
  table.addEventListener("dragleave", () => table.classList.remove("dropping"));
  table.addEventListener("drop", (event) => {
    event.preventDefault();
    table.classList.remove("dropping");
    readFile(event.dataTransfer.files[0], table);
  });
}

function improveCopy(button) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    say("Copied.");
  });
}

function improve() {
  document.querySelectorAll("[data-whole]").forEach(convert);
  document.querySelectorAll("[data-copy]").forEach(improveCopy);
  document.querySelectorAll("[data-drop]").forEach(improveTable);
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.part) return;
  event.preventDefault();
  send(event.target);
});
for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => {
    const input = event.target.closest(".field")?.querySelector("[data-whole]");
    if (input) convert(input);
    if (event.target.closest("[data-part=main]")) outdate();
  });
}
improve();
const live = document.getElementById("live");
if (live) {
  localize(live);
  follow(live);
}
