// What HTML cannot do: keys, and pages that reload their content without disturbing who reads.
"use strict";

const live = document.getElementById("live");
const content = () => document.getElementById("content");

function isBusy() {
  const focused = document.activeElement;
  return document.hidden
    || document.querySelector("dialog[open]")
    || !document.getSelection().isCollapsed
    || (focused.matches("input:not([type=hidden]), select, textarea") && content().contains(focused));
}

document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

if (live) {
  live.hidden = false;
  live.setAttribute("aria-pressed", String(sessionStorage.getItem("paused") !== "yes"));
  live.addEventListener("click", () => {
    const goesOn = live.getAttribute("aria-pressed") === "false";
    live.setAttribute("aria-pressed", String(goesOn));
    sessionStorage.setItem("paused", goesOn ? "no" : "yes");
  });
  document.addEventListener("htmx:before:request", (event) => {
    if (event.target === live && (live.getAttribute("aria-pressed") === "false" || isBusy())) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", () => {
    document.getElementById("as-of").textContent = content().dataset.asOf;
  });
}

// j and k move along the links of rows; Enter follows a link by itself.
function moveBy(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const next = rows[rows.indexOf(document.activeElement) + step] ?? rows[step > 0 ? 0 : rows.length - 1];
  next?.focus();
}

const keys = {
  "/": () => document.getElementById("search")?.focus(),
  "?": () => document.getElementById("help")?.showModal(),
  j: () => moveBy(1),
  k: () => moveBy(-1),
  p: () => live?.click(),
};
let goes = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const link = goes && document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`);
  goes = event.key === "g";
  if (link || keys[event.key]) event.preventDefault();
  if (link) link.click();
  else keys[event.key]?.();
});
