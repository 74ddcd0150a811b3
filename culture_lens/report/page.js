"use strict";
// Draws the figures in the colours of the page, sorts tables, filters neurons, prepares printing.
// Whatever comes from data is written as text, never as HTML.

const DARK = JSON.parse(document.getElementById("dark-colours").textContent);
const atNight = matchMedia("(prefers-color-scheme: dark)");
const PAPER_WIDTH = 960;
const CONFIG = {
  responsive: true,
  displaylogo: false,
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud"],
};

// ------------------------------------------------------------------ figures

const plots = [...document.querySelectorAll(".canvas")];

function recoloured(value) {
  if (typeof value === "string") return DARK[value.toLowerCase()] ?? value;
  if (Array.isArray(value)) return value.map(recoloured);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, held]) => [name, recoloured(held)]));
}

function figureOf(plot, dark) {
  const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  if (!dark) return figure;
  const data = figure.data.map((trace) => {
    const night = recoloured(trace);
    if (trace.meta?.dark) night.textfont.color = trace.meta.dark; // as it is: inks of cells
    return night;
  });
  return { data, layout: recoloured(figure.layout) };
}

function draw(plot, dark = atNight.matches, width = undefined) {
  const figure = figureOf(plot, dark);
  if (width) figure.layout.width = width;
  Plotly.react(plot, figure.data, figure.layout, CONFIG);
  plot.dataset.drawn = dark ? "dark" : "light";
  const [first, ...others] = plot.querySelectorAll("svg.main-svg");
  first.setAttribute("role", "img");
  first.setAttribute("aria-label", plot.dataset.alt);
  for (const other of others) other.setAttribute("aria-hidden", "true");
}

const visible = (plot) => plot.checkVisibility();
const undrawn = () => plots.filter((plot) => !plot.dataset.drawn && visible(plot));

// What is on the screen first, then one figure at a time, so that the page never hangs.
function drawNext() {
  const left = window.Plotly ? undrawn() : []; // plotly comes after this script
  if (!left.length) return;
  const height = innerHeight;
  const near = left.find((plot) => {
    const box = plot.getBoundingClientRect();
    return box.bottom > 0 && box.top < height;
  });
  draw(near ?? left[0]);
  setTimeout(drawNext);
}

document.addEventListener("toggle", () => setTimeout(drawNext), true);
atNight.addEventListener("change", () => {
  for (const plot of plots) if (plot.dataset.drawn) draw(plot);
});

// ------------------------------------------------------------------ printing

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open]):not(.neuron, .neuron *)")];
  for (const part of opened) part.open = true;
  for (const plot of plots) draw(plot, false, PAPER_WIDTH);
});
addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
  for (const plot of plots) delete plot.dataset.drawn; // drawn again for the screen when it is seen
  drawNext();
});

// ------------------------------------------------------------------ tables

// The number that a cell begins with, or its text.
function valueOf(cell) {
  const text = cell.firstChild?.textContent.trim() ?? "";
  const number = parseFloat(text.replace("−", "-").replace(/^[<+]\s*/, "").replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
}

function compared(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return a.localeCompare(b);
}

function sortBy(head) {
  const table = head.closest("table");
  const rising = head.getAttribute("aria-sort") !== "ascending";
  const column = head.cellIndex;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
  rows.sort(([a], [b]) => (rising ? compared(a, b) : compared(b, a)));
  body.append(...rows.map(([, row]) => row));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (button) sortBy(button.parentNode);
});

// ------------------------------------------------------------------ neurons

const form = document.getElementById("filters");
const SHOWN_FIRST = 20;
let shownAtMost = SHOWN_FIRST;

function matches(neuron, { words, culture, selector, layer }) {
  if (layer !== "" && neuron.dataset.layer !== layer) return false;
  const who = neuron.dataset.who.split(" ").map((pair) => pair.split(":"));
  const chosen = who.some(
    ([s, c]) => (selector === "" || s === selector) && (culture === "" || c === culture),
  );
  const text = neuron.searched ??= neuron.querySelector("summary").textContent.toLowerCase();
  return chosen && words.every((word) => text.includes(word));
}

function filterNeurons() {
  const asked = {
    words: form.elements.search.value.toLowerCase().split(/\s+/).filter(Boolean),
    culture: form.elements.culture.value,
    selector: form.elements.selector.value,
    layer: form.elements.layer.value,
  };
  const neurons = [...document.querySelectorAll("#neuron-list > .neuron")];
  const found = neurons.filter((neuron) => matches(neuron, asked));
  const shown = new Set(found.slice(0, shownAtMost));
  for (const neuron of neurons) neuron.hidden = !shown.has(neuron);
  form.elements.count.value = `${shown.size} shown of ${found.length} that match, ${neurons.length} in all`;
  form.elements.all.hidden = shown.size === found.length;
}

if (form) {
  form.hidden = false;
  form.addEventListener("input", () => {
    shownAtMost = SHOWN_FIRST;
    filterNeurons();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.all.addEventListener("click", () => {
    shownAtMost = Infinity;
    filterNeurons();
  });
  filterNeurons();
}

addEventListener("load", drawNext);
performance.mark("usable"); // tables sort and neurons are filtered; figures come next
