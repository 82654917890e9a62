"use strict";
const svg = document.querySelector("svg.flowpipe-graph");
const stage = document.getElementById("stage");
const panel = document.getElementById("panel");
const search = document.getElementById("search");
const known = new Map(JSON.parse(document.getElementById("data").textContent).map((entry) => [entry.id, entry]));
const shapes = new Map([...svg.querySelectorAll("[data-id]")].map((shape) => [shape.dataset.id, shape]));
const lines = [...svg.querySelectorAll("[data-from]")];

// What is seen: a part of the picture in its own units, kept in the shape of the window.
const whole = { width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
const view = { x: 0, y: 0, scale: 1 };

function show() {
  svg.setAttribute("viewBox", [view.x, view.y, stage.clientWidth / view.scale, stage.clientHeight / view.scale].join(" "));
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const scale = Math.min(4, Math.max(0.03, view.scale * factor));
  view.x += x / view.scale - x / scale;
  view.y += y / view.scale - y / scale;
  view.scale = scale;
  show();
}

// The whole picture; at first only as much of it, from the left, as can be read.
function fit(least) {
  view.scale = Math.max(least, Math.min(1.25, stage.clientWidth / whole.width, stage.clientHeight / whole.height));
  view.x = Math.min(0, (whole.width - stage.clientWidth / view.scale) / 2);
  view.y = Math.min(0, (whole.height - stage.clientHeight / view.scale) / 2);
  show();
}

function center(shape) {
  view.scale = Math.max(view.scale, 0.8);
  const box = shape.getBBox();
  const at = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2).matrixTransform(toPicture(shape));
  view.x = at.x - stage.clientWidth / view.scale / 2;
  view.y = at.y - stage.clientHeight / view.scale / 2;
  show();
}

function toPicture(shape) {
  return svg.getScreenCTM().inverse().multiply(shape.getScreenCTM());
}

// Everything that flows into some boxes ("to") or out of them ("from"), with the lines on the way.
function follow(starts, here, there) {
  const seen = new Set(starts);
  const passed = new Set();
  const todo = [...starts];
  while (todo.length) {
    const id = todo.pop();
    for (const line of lines) {
      if (line.dataset[here] !== id) continue;
      passed.add(line);
      if (!seen.has(line.dataset[there])) {
        seen.add(line.dataset[there]);
        todo.push(line.dataset[there]);
      }
    }
  }
  return [...seen].map((id) => shapes.get(id)).concat([...passed]);
}

function clear() {
  svg.classList.remove("chosen");
  svg.querySelectorAll(".on, .here").forEach((shape) => shape.classList.remove("on", "here"));
  panel.hidden = true;
}

function choose(id, move) {
  clear();
  if (!shapes.has(id)) return;
  const inside = [...known.values()].filter((entry) => `pipeline:${entry.group}` === id).map((entry) => entry.id);
  const starts = inside.length ? inside : [id];
  const on = [...follow(starts, "to", "from"), ...follow(starts, "from", "to"), shapes.get(id)];
  on.forEach((shape) => shape.classList.add("on"));
  shapes.get(id).classList.add("here");
  svg.classList.add("chosen");
  describe(known.get(id), starts);
  if (move) center(shapes.get(id));
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function describe(entry, starts) {
  const facts = document.createElement("dl");
  const neighbours = (here, there) =>
    new Set(lines.filter((l) => starts.includes(l.dataset[here]) && !starts.includes(l.dataset[there])).map((l) => l.dataset[there]));
  for (const [name, value] of entry.facts) facts.append(element("dt", name), element("dd", value));
  for (const [name, ids] of [["comes from", neighbours("to", "from")], ["goes to", neighbours("from", "to")]]) {
    if (!ids.size) continue;
    const list = document.createElement("dd");
    for (const id of ids) {
      const link = element("a", known.get(id).name);
      link.onclick = () => choose(id, true);
      list.append(link);
    }
    facts.append(element("dt", name), list);
  }
  panel.replaceChildren(element("h2", entry.name), element("p", entry.kind), facts);
  panel.hidden = false;
}

let grip = null;
stage.addEventListener("pointerdown", (event) => {
  grip = { x: event.clientX, y: event.clientY, moved: false };
});
window.addEventListener("pointermove", (event) => {
  if (!grip) return;
  if (Math.hypot(event.clientX - grip.x, event.clientY - grip.y) < 4 && !grip.moved) return;
  view.x -= (event.clientX - grip.x) / view.scale;
  view.y -= (event.clientY - grip.y) / view.scale;
  grip = { x: event.clientX, y: event.clientY, moved: true };
  stage.classList.add("moving");
  show();
});
window.addEventListener("pointerup", (event) => {
  const shape = event.target.closest?.("[data-id]");
  if (grip && !grip.moved) shape ? choose(shape.dataset.id) : clear();
  grip = null;
  stage.classList.remove("moving");
});
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY);
}, { passive: false });

const named = new Map([...known.values()].map((entry) => [entry.group ? `${entry.group}.${entry.name}` : entry.id, entry.id]));
document.getElementById("names").append(...[...named.keys()].sort().map((name) => Object.assign(document.createElement("option"), { value: name })));
search.addEventListener("change", () => {
  const asked = search.value.trim().toLowerCase();
  const found = [...named].find(([name]) => name.toLowerCase() === asked) ?? [...named].find(([name]) => name.toLowerCase().includes(asked));
  if (asked && found) choose(found[1], true);
});
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape") clear();
  if (event.key === "/" && event.target !== search) { event.preventDefault(); search.focus(); }
});
document.getElementById("in").onclick = () => zoom(1.3);
document.getElementById("out").onclick = () => zoom(1 / 1.3);
document.getElementById("fit").onclick = () => fit(0);
window.addEventListener("resize", show);
fit(0.6);
