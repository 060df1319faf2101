// Charts of bars: lying, in groups, and stacked; and of rectangles over steps and bytes.

/** Lying bars in groups. `groups`: `{ name, bars: [{ value, sd, text, colour, mark, tip }] }`. */
function barChart({ title, description, note, legend, groups }) {
  const most = Math.max(0, ...groups.flatMap((g) => g.bars.map((b) => (finite(b.value) ? b.value + (b.sd || 0) : 0)))) || 1;
  const draw = (root, width) => {
    const longest = Math.max(0, ...groups.map((g) => textWidth(g.name)));
    const beside = width >= 560 || (width >= 330 && longest < 130);
    const left = beside ? Math.min(width * 0.36, longest + 12) : 0;
    const texts = Math.max(0, ...groups.flatMap((g) => g.bars.map((b) => textWidth(b.text))));
    const scale = (value) => (value / most) * (width - left - texts - 14);
    const thick = Math.max(0, ...groups.map((g) => g.bars.length)) > 1 ? 14 : 18;
    let y = 2;
    for (const { name, bars } of groups) {
      const label = svg("text", { class: "label", x: beside ? left - 10 : 0, "text-anchor": beside ? "end" : "start" },
        short(name, Math.floor((beside ? left - 6 : width) / 7.1)));
      label.setAttribute("y", beside ? y + (bars.length * (thick + 3) - 3) / 2 + 4 : y + 12);
      root.append(label);
      if (!beside) y += 18;
      for (const bar of bars) {
        drawBar(root, bar, left, y, scale, thick, width);
        y += thick + 3;
      }
      y += beside ? 7 : 9;
    }
    return y;
  };
  return figure({ title, description, note, legend, draw });
}

function drawBar(root, bar, left, y, scale, thick, width) {
  const length = finite(bar.value) ? Math.max(1, scale(bar.value)) : 0;
  const group = svg("g", {}, svg("rect", { class: "reach", x: left, y, width: Math.max(1, width - left), height: thick }));
  if (length) group.append(svg("rect", { x: left, y, width: length, height: thick, rx: 2, fill: bar.colour }));
  const error = bar.sd > 0 ? scale(bar.sd) : 0;
  if (error > 1) {
    const middle = y + thick / 2;
    const d = `M${left + length - error},${middle}H${left + length + error}m0,-3v6`;
    group.append(svg("path", { class: "error over", d }));
  }
  group.append(svg("text", { class: "value", x: left + length + error + 7, y: y + thick / 2 + 4 }, bar.text));
  root.append(tip(group, bar.tip.title, bar.tip.lines));
}

/** Standing bars, stacked. `columns`: `{ name, parts: [{ value, colour, tip }] }`. */
function stackChart({ title, description, note, legend, columns, xLabel, yLabel }) {
  const height = 260;
  const most = largest(columns.map((c) => sum(c.parts.map((p) => p.value))));
  const draw = (root, width) => {
    const scales = {
      x: ([from, to]) => {
        const at = (i) => from + ((i + 0.5) / columns.length) * (to - from);
        return Object.assign(at, { ticks: roundTicks(0, columns.length - 1, Math.min(columns.length - 1, width / 50)) });
      },
      y: (range) => linear(0, most, range, { wanted: 4 }),
    };
    const area = plot(root, { width, height, ...scales, xLabel, yLabel, xText: (i) => columns[i].name, yText: tidy });
    const wide = Math.max(1, Math.min(36, ((area.right - area.left) / columns.length) * 0.78));
    columns.forEach((column, i) => {
      let base = 0;
      for (const part of column.parts.filter((p) => p.value > 0)) {
        const [y, x] = [area.y(base + part.value), area.x(i) - wide / 2];
        const tall = Math.max(0.5, area.y(base) - y);
        const rect = svg("rect", { x, y, width: wide, height: tall, fill: part.colour, class: "part" });
        root.append(tip(rect, part.tip.title, part.tip.lines));
        base += part.value;
      }
    });
    return height;
  };
  return figure({ title, description, note, legend, draw });
}

/** Parts of a whole, in seconds, side by side on one line. `parts`: `{ value, colour, tip }`. */
function stripChart({ title, description, note, legend, parts }) {
  const all = sum(parts.map((p) => p.value)) || 1;
  const draw = (root, width) => {
    const scale = linear(0, all, [0, width - 1], { nice: false, wanted: Math.max(2, width / 120) });
    const [unit, name] = all >= 1 ? [1, "s"] : all >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
    let at = 0;
    for (const part of parts) {
      const [x, end] = [scale(at), scale(at + Math.max(0, part.value || 0))];
      const gap = end - x > 3 ? 1 : 0;
      const rect = svg("rect", { x, y: 0, width: Math.max(0.3, end - x - gap), height: 40, fill: part.colour });
      root.append(tip(rect, part.tip.title, part.tip.lines));
      at += Math.max(0, part.value || 0);
    }
    for (const tick of scale.ticks) {
      const x = scale(tick);
      const anchor = x < 20 ? "start" : x > width - 30 ? "end" : "middle";
      root.append(svg("line", { class: "axis", x1: x, x2: x, y1: 42, y2: 46 }));
      root.append(svg("text", { class: "tick", x, y: 60, "text-anchor": anchor }, `${tidy(tick * unit)} ${name}`));
    }
    return 64;
  };
  return figure({ title, description, note, legend, draw });
}

/** Rectangles from step to step and byte to byte, up to `size`. `slots`: `{ name, first, last, offset, bytes }`. */
function mapChart({ title, description, note, steps, size, slots }) {
  const height = 360;
  const draw = (root, width) => {
    const unit = [2 ** 30, 2 ** 20, 2 ** 10, 1].find((u) => size >= u) ?? 1;
    const name = { 1: "B", 1024: "KiB", 1048576: "MiB", 1073741824: "GiB" }[unit];
    // What is read after the last step reaches one further.
    const ends = Math.max(1, steps, ...slots.map((slot) => slot.last + 1));
    const scales = {
      x: (range) => linear(0, ends, range, { nice: false, wanted: Math.max(2, width / 100) }),
      y: (range) => linear(0, size / unit || 1, range, { nice: false, wanted: 6 }),
    };
    const area = plot(root, { width, height, ...scales, xLabel: "step", yLabel: `offset, ${name}` });
    for (const slot of slots) {
      const [x, end] = [area.x(slot.first), area.x(slot.last + 1)];
      if (slot.offset >= size) continue;
      const [y, bottom] = [area.y(Math.min(size, slot.offset + slot.bytes) / unit), area.y(slot.offset / unit)];
      const rect = svg("rect", {
        class: "slot", x, y, width: Math.max(0.8, end - x), height: Math.max(0.8, bottom - y),
        "fill-opacity": (0.35 + 0.5 * Math.min(1, Math.sqrt(slot.bytes / size))).toFixed(2),
      });
      const lines = [
        ["bytes", `${whole(slot.bytes)} (${bytes(slot.bytes)})`],
        ["offset", whole(slot.offset)],
        ["steps", `${slot.first} to ${slot.last}`],
      ];
      root.append(tip(rect, slot.name, lines));
      if (end - x > 90 && bottom - y > 15) {
        const label = short(slot.name, Math.floor((end - x - 8) / 6.4));
        root.append(svg("text", { class: "inside", x: x + 5, y: Math.min(bottom - 4, y + 13) }, label));
      }
    }
    return height;
  };
  return figure({ title, description, note, draw });
}
