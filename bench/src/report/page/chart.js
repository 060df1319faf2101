// What all charts have: scales with round ticks, axes, legends, tips, and a figure that is drawn anew at each width.

/** Colours by number, the same as in the style sheet. */
const colour = (index) => `var(--c${(index % 6) + 1})`;
/** Depths have an order, and so have their colours. */
const shade = (index, count) => `var(--o${count < 2 ? 1 : 1 + Math.round((index * 4) / (count - 1))})`;
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 2", "12 4"];

/** Round numbers from one end to the other, about so many. */
function roundTicks(low, high, wanted) {
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first) + 1 }, (_, i) => (first + i) * step);
}

/** A linear scale onto pixels; its ends are ticks where `nice`. */
function linear(low, high, [from, to], { wanted = 5, nice = true } = {}) {
  if (!(finite(low) && finite(high))) [low, high] = [0, 1];
  if (low === high) [low, high] = low === 0 ? [0, 1] : [Math.min(0, low), Math.max(0, high)];
  if (nice) {
    const ticks = roundTicks(low, high, wanted);
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : high - low;
    [low, high] = [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  }
  const at = (x) => from + ((x - low) / (high - low)) * (to - from);
  return Object.assign(at, { ticks: roundTicks(low, high, wanted), low, high });
}

/** A logarithmic scale onto pixels: ticks at powers of ten, and at 2 and 5 of them where there is room. */
function logarithmic(low, high, [from, to], { wanted = 6 } = {}) {
  if (!(low > 0 && high > 0)) [low, high] = [1, 10];
  if (low === high) [low, high] = [low / 2, high * 2];
  const width = Math.log(high / low);
  const at = (x) => from + (Math.log(x / low) / width) * (to - from);
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const m of width < Math.LN10 * wanted / 3 ? [1, 2, 5] : [1]) ticks.push(m * 10 ** power);
  }
  const inside = ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001);
  const every = Math.ceil(inside.length / wanted);
  return Object.assign(at, { ticks: inside.filter((_, i) => i % every === 0), low, high });
}

/** Ticks that leave so many pixels to their neighbours; the last one stays. */
function thinned(ticks, scale, gap) {
  const kept = [];
  for (const tick of [...ticks].reverse()) {
    if (!kept.length || Math.abs(scale(tick) - scale(kept.at(-1))) >= gap) kept.push(tick);
  }
  return kept.reverse();
}

/** An upper bound for most fonts, pixels. */
const textWidth = (text) => String(text).length * 7.1;

/**
 * Grid, axes and their labels. `x` and `y` make a scale from a range of pixels; what they are called stands at their ends.
 * Charts above each other have their axes in line where `least` leaves room for the labels of all.
 */
function plot(root, options) {
  const { width, height, x, y, xLabel, yLabel, xText = tidy, yText = tidy, right = 12, least = 28, cross = false } = options;
  const top = yLabel ? 26 : 8;
  const bottom = height - (xLabel ? 42 : 24);
  const yScale = y([bottom, top]);
  const left = Math.max(least, ...yScale.ticks.map((t) => textWidth(yText(t)) + 10));
  const xScale = x([left, width - right]);
  for (const tick of yScale.ticks) {
    const at = yScale(tick);
    root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: at, y2: at }));
    root.append(svg("text", { class: "tick", x: left - 8, y: at + 4, "text-anchor": "end" }, yText(tick)));
  }
  root.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: bottom, y2: bottom }));
  const gap = 16 + Math.max(0, ...xScale.ticks.map((t) => textWidth(xText(t))));
  for (const tick of thinned(xScale.ticks, xScale, gap)) {
    const at = xScale(tick);
    const reach = textWidth(xText(tick)) / 2;
    const anchor = at + reach > width ? "end" : "middle";
    if (cross) root.append(svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }));
    root.append(svg("line", { class: "axis", x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
    const place = { x: anchor === "end" ? width : at, y: bottom + 18, "text-anchor": anchor };
    root.append(svg("text", { class: "tick", ...place }, xText(tick)));
  }
  if (yLabel) root.append(svg("text", { class: "name", x: 0, y: 12 }, yLabel));
  if (xLabel) root.append(svg("text", { class: "name", x: width - right, y: height - 4, "text-anchor": "end" }, xLabel));
  return { x: xScale, y: yScale, left, right: width - right, top, bottom };
}

let figures = 0;

/**
 * A chart with a title, a description for those who do not see it, and a legend. `draw(root, width)` returns its height; it
 * is called whenever the width has changed.
 */
function figure({ title, description, legend = [], note, draw }) {
  const id = `figure-${(figures += 1)}`;
  const root = svg("svg", { role: "img", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-text` });
  const holder = el("div", { class: "plot" }, root);
  const entries = legend.map((entry) => el("li", {}, swatch(entry), entry.name));
  const node = el("figure", {},
    el("figcaption", { id: `${id}-title` }, title),
    entries.length > 1 && el("ul", { class: "legend" }, entries),
    holder,
    note && el("p", { class: "note" }, note));
  let drawn = 0;
  node.redraw = () => {
    const width = Math.floor(holder.clientWidth);
    if (width < 50 || width === drawn) return;
    drawn = width;
    root.replaceChildren(svg("desc", { id: `${id}-text` }, description));
    const height = draw(root, width);
    root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  };
  new ResizeObserver(() => requestAnimationFrame(node.redraw)).observe(holder);
  return node;
}

function swatch({ colour: fill, dash, mark, line }) {
  const wide = line || mark !== undefined ? 22 : 12;
  const box = svg("svg", { class: "swatch", viewBox: `0 0 ${wide} 12`, style: `width:${wide}px`, "aria-hidden": "true" });
  const stroke = { stroke: fill, "stroke-width": 2, "stroke-dasharray": dash || null };
  if (line) box.append(svg("line", { x1: 0, x2: 22, y1: 6, y2: 6, ...stroke }));
  else if (mark === undefined) box.append(svg("rect", { x: 0, y: 0, width: 12, height: 12, rx: 2, fill }));
  if (mark !== undefined) box.append(marker(mark, 11, 6, 4, fill));
  return box;
}

/** Six shapes, so that colour is not all that tells series apart. */
function marker(index, x, y, size, fill) {
  const s = size * 1.25;
  const corners = [
    null,
    [[-size, -size], [size, -size], [size, size], [-size, size]],
    [[0, -s], [s, 0], [0, s], [-s, 0]],
    [[0, -s], [s, size], [-s, size]],
    [[0, s], [s, -size], [-s, -size]],
    [[-s, 0], [-size / 2, -s], [size / 2, -s], [s, 0], [size / 2, s], [-size / 2, s]],
  ][index % 6];
  if (!corners) return svg("circle", { cx: x, cy: y, r: size, fill });
  return svg("polygon", { points: corners.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" "), fill });
}

/** Shows `lines` beside the pointer when it is over the element, or when this is tapped. A line is a name and a value. */
function tip(element, title, lines) {
  element.tip = { title, lines };
  element.classList.add("tipped");
  return element;
}

function watchTips() {
  const box = document.getElementById("tip");
  const show = (event) => {
    const found = event.target.closest?.(".tipped")?.tip;
    box.hidden = !found;
    if (!found) return;
    const rows = found.lines.filter((line) => line[1] !== NONE);
    const terms = rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
    box.replaceChildren(el("strong", {}, found.title), el("dl", {}, terms));
    const { offsetWidth: width, offsetHeight: height } = box;
    const screen = document.documentElement.clientWidth;
    const x = Math.min(Math.max(8, event.clientX + 14), screen - width - 8);
    const above = event.clientY - height - 14;
    box.style.transform = `translate(${Math.max(8, x)}px, ${above < 8 ? event.clientY + 18 : above}px)`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", () => { box.hidden = true; }, { passive: true });
}
