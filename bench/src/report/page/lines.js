// Charts with two axes of numbers: lines with error bars, and points under roofs.

/**
 * Lines. `series`: `{ name, colour, dash, mark, points: [{ x, y, sd, tip }] }`; `x`: `{ label, text, log, ticks, ends }`;
 * `y`: `{ label, text, zero }`. `bands` are spans of x: `{ from, to, text }`.
 */
function lineChart({ title, description, note, x, y, series, bands = [], height = 280, least }) {
  const shown = series
    .map((s) => ({ ...s, points: s.points.filter((p) => finite(p.x) && finite(p.y)) }))
    .filter((s) => s.points.length);
  const points = shown.flatMap((s) => s.points);
  const xs = [...points.map((p) => p.x), ...(x.ends ?? [])];
  const lows = points.map((p) => p.y - (p.sd || 0));
  const highs = points.map((p) => p.y + (p.sd || 0));
  const scales = {
    x: (range) => {
      const make = x.log ? logarithmic : linear;
      const scale = make(smallest(xs), largest(xs), range, { nice: false, wanted: Math.max(3, range[1] / 110) });
      return x.ticks ? Object.assign(scale, { ticks: x.ticks }) : scale;
    },
    y: (range) => {
      const low = y.zero === false ? smallest(lows) : Math.min(0, smallest(lows));
      return linear(low, largest(highs), range, { wanted: height / 55 });
    },
  };
  const draw = (root, width) => {
    const labels = { xLabel: x.label, yLabel: y.label, xText: x.text, yText: y.text };
    const area = plot(root, { width, height, ...scales, ...labels, right: 16, least });
    for (const band of bands) drawBand(root, area, band);
    shown.forEach((s) => drawLine(root, area, s));
    return height;
  };
  const legend = shown.map((s) => ({ ...s, line: s.points.length > 1 }));
  return figure({ title, description, legend, note, draw });
}

function drawLine(root, area, { colour: stroke, dash, mark, points }) {
  const path = points.map((p) => `${area.x(p.x).toFixed(1)},${area.y(p.y).toFixed(1)}`).join(" ");
  root.append(svg("polyline", { class: "line", points: path, stroke, "stroke-dasharray": dash || null }));
  for (const p of points) {
    const [cx, cy] = [area.x(p.x), area.y(p.y)];
    const group = svg("g", {});
    if (p.sd > 0) {
      const [low, high] = [area.y(p.y - p.sd), area.y(p.y + p.sd)];
      group.append(svg("path", { class: "error", stroke, d: `M${cx - 4},${high}h8m-4,0V${low}m-4,0h8` }));
    }
    if (mark !== undefined) group.append(marker(mark, cx, cy, 4, stroke));
    if (p.tip) {
      group.append(svg("circle", { cx, cy, r: points.length > 40 ? 5 : 12, class: "reach" }));
      tip(group, p.tip.title, p.tip.lines);
    }
    if (p.tip || p.sd > 0 || mark !== undefined) root.append(group);
  }
}

function drawBand(root, area, { from, to, text }) {
  const [x, end] = [area.x(from), area.x(to)];
  const late = x > (area.left + area.right) / 2;
  root.append(svg("rect", { class: "band", x, y: area.top, width: Math.max(1, end - x), height: area.bottom - area.top }));
  const place = late ? { x: end, dx: -6, "text-anchor": "end" } : { x, dx: 6, "text-anchor": "start" };
  root.append(svg("text", { class: "label halo", ...place, y: area.bottom - 8 }, text));
}

/**
 * Points at flops/byte and FLOP/s: `{ x, y, size, colour, mark, label, tip }`, under `roofs`: `{ name, rate }`, and `read`,
 * bytes/s.
 */
function rooflineChart({ title, description, note, legend, points, read, roofs }) {
  const height = 420;
  const ridge = finite(read) ? roofs.map((roof) => roof.rate / read) : [];
  const xs = [...points.map((p) => p.x), ...ridge];
  const ys = [...points.map((p) => p.y), ...roofs.map((roof) => roof.rate)];
  const [xLow, xHigh] = [smallest(xs) / 2, largest(xs) * 3];
  const scales = {
    x: (range) => logarithmic(xLow, xHigh, range, { wanted: 7 }),
    y: (range) => logarithmic(smallest(ys) / 2, largest(ys) * 1.8, range, { wanted: 7 }),
  };
  const draw = (root, width) => {
    const area = plot(root, {
      width, height, ...scales, xLabel: "operations per byte", yLabel: "operations per second",
      yText: (t) => si(t, "", tidy), cross: true,
    });
    drawRoofs(root, area, read, roofs);
    const placed = (p) => ({ ...p, cx: area.x(p.x), cy: area.y(p.y), r: 4 + 14 * Math.sqrt(p.size) });
    const dots = [...points].sort((a, b) => b.size - a.size).map(placed);
    for (const { cx, cy, r, mark, colour: fill, tip: { title: name, lines } } of dots) {
      const dot = mark ? marker(mark, cx, cy, r * 0.9, fill) : svg("circle", { cx, cy, r, fill });
      dot.classList.add("dot");
      root.append(tip(dot, name, lines));
    }
    labelDots(root, dots);
    return height;
  };
  return figure({ title, description, note, legend, draw });
}

/** Those labels that cover neither dots nor other labels. */
function labelDots(root, dots) {
  const taken = [];
  for (const { cx, cy, r, label } of dots.filter((dot) => dot.label)) {
    const [x, y] = [cx + r + 3, cy + 4];
    const free = taken.every((t) => Math.abs(t.x - x) > 26 || Math.abs(t.y - y) > 12)
      && dots.every((dot) => dot.cx === cx || Math.abs(dot.cx - x - 9) > dot.r + 9 || Math.abs(dot.cy - cy) > dot.r + 4);
    if (!free) continue;
    taken.push({ x, y });
    root.append(svg("text", { class: "label halo", x, y }, label));
  }
}

function drawRoofs(root, area, read, roofs) {
  const top = largest(roofs.map((roof) => roof.rate));
  const clamp = (x) => Math.max(area.left, Math.min(area.right, x));
  if (finite(read) && top > 0) {
    const start = Math.max(area.x.low, area.y.low / read);
    const ends = { x1: area.x(start), y1: area.y(start * read), x2: area.x(top / read), y2: area.y(top) };
    root.append(svg("line", { class: "roof", ...ends }));
    const [x, y] = [area.x(start), area.y(start * read)];
    const slope = Math.atan2(area.y(top) - y, area.x(top / read) - x) * (180 / Math.PI);
    const along = 0.12;
    const at = [x + along * (area.x(top / read) - x), y + along * (area.y(top) - y)];
    const turned = `translate(${at[0]} ${at[1]}) rotate(${slope})`;
    root.append(svg("text", { class: "label halo", transform: turned, y: -7 }, `read ${si(read, "B/s")}`));
  }
  for (const { name, rate } of roofs) {
    const at = area.y(rate);
    const from = clamp(finite(read) ? area.x(rate / read) : area.left);
    root.append(svg("line", { class: "roof", x1: from, x2: area.right, y1: at, y2: at }));
    const place = { x: area.right, y: at - 6, "text-anchor": "end" };
    root.append(svg("text", { class: "label halo", ...place }, `${name} ${si(rate, "FLOP/s")}`));
  }
}
