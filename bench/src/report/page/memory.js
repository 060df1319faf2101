// The arena: what lies where, and from which step to which.

/** Most bytes that live at once, and the step. Values that share bytes count once. */
function mostAlive({ slots, steps }) {
  let best = { bytes: 0, step: 0 };
  for (let step = 0; step < steps; step += 1) {
    const alive = slots.filter((s) => s.first <= step && step <= s.last).sort((a, b) => a.offset - b.offset);
    let [size, end] = [0, 0];
    for (const { offset, bytes: count } of alive) {
      size += Math.max(0, offset + count - Math.max(offset, end));
      end = Math.max(end, offset + count);
    }
    if (size > best.bytes) best = { bytes: size, step };
  }
  return best;
}

function memoryMap(report) {
  const maps = list(report.maps).filter((m) => list(m.slots).length);
  if (!maps.length) return section("memory", "Memory plan", null, absent("The report has no memory plan."));
  return section("memory", "Memory plan",
    "Each rectangle is a value in the arena: as wide as the steps that touch it, as high as its bytes. " +
      "Weights and the KV cache lie elsewhere.",
    maps.map(arena));
}

/** One map, with its values as a table. Where few values are much larger than all others, these can be looked at closer. */
function arena(map) {
  const most = mostAlive(map);
  const name = map.kind === "prefill" ? `Prefill of ${plural(map.tokens, "token")}` : "Decode";
  const ends = map.slots.map((s) => s.offset + s.bytes).sort((a, b) => a - b);
  const close = ends[Math.floor(ends.length * 0.95)] ?? map.bytes;
  const values = plural(map.slots.length, "value");
  const alive = `at most ${bytes(most.bytes)} live at once, at step ${whole(most.step)}`;
  const holder = el("div", {});
  const show = (size) => {
    holder.replaceChildren(mapChart({
      title: `${name}: ${bytes(map.bytes)}, ${plural(map.steps, "step")}`,
      description: `${values} in ${bytes(map.bytes)}; ${alive}`,
      note: `${values}, ${alive}; the arena is ${number(map.bytes / most.bytes)} times that.`,
      steps: map.steps, size, slots: map.slots,
    }));
    redraw(holder);
  };
  show(map.bytes);
  const sizes = [map.bytes, close];
  return [
    close < map.bytes / 3 && picker("Show", ["the whole arena", `its first ${bytes(close)}`], 0, (i) => show(sizes[i])),
    holder,
    folded(`Values of ${name.toLowerCase()}`, map.slots.length, table({
      caption: `Values in the arena, ${name.toLowerCase()}`,
      rows: map.slots,
      columns: [
        { name: "value", head: true, value: (s) => s.name },
        { name: "offset", value: (s) => whole(s.offset) },
        { name: "bytes", value: (s) => whole(s.bytes) },
        { name: "first step", value: (s) => whole(s.first) },
        { name: "last step", value: (s) => whole(s.last) },
      ],
    })),
  ];
}
