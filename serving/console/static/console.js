// Improves pages that work without it: answers without a reload, units in sight, files, copies, restarts.

const connection = document.getElementById("connection");
const RETRY_MILLISECONDS = 1000;
let waiting = false;

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
    waitUntilAlive();
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
  connection.textContent = words;
}

async function waitUntilAlive() {
  if (waiting) return;
  waiting = true;
  for (;;) {
    await new Promise((resume) => setTimeout(resume, RETRY_MILLISECONDS));
    const alive = await fetch(document.body.dataset.alive, { cache: "no-store" }).catch(() => null);
    if (alive?.ok) break;
  }
  waiting = false;
  say("The API answers again. Your values are still here: send them once more.");
}

// Shows what a value in another unit is in the model's own, as the server will read it.
function convert(input) {
  const field = input.closest(".field");
  const unit = field.querySelector("select");
  const shown = field.querySelector(".converted");
  const factor = Number(unit.selectedOptions[0].dataset.factor);
  const typed = input.value.trim();
  const value = Number((Number(typed) * factor).toPrecision(7));
  const own = unit.value === shown.dataset.unit;
  const rounded = input.dataset.whole === "true" ? Math.round(value) : value;
  shown.textContent = own || typed === "" || !Number.isFinite(value) ? "" : `= ${rounded} ${shown.dataset.unit}`;
}

async function readFile(file, table) {
  if (file) table.value = await file.text();
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
  });
}
improve();
