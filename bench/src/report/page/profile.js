// Where the time of a step goes: kernels under the device's roofs, operators, layers, and calls.

const phaseName = (p) => (p.kind === "prefill" ? `Prefill of ${whole(p.tokens)}` : "Decode");
const phaseColour = (p) => colour(p.kind === "prefill" ? 0 : 1);
const secondsOf = (parts) => sum(parts.map((part) => part.seconds));
const total = (phase) => secondsOf(list(phase.kernels));

function profiled(report) {
  const phases = list(report.profile?.phases).filter((p) => list(p.kernels).length);
  if (!phases.length) {
    const text = "The report has no profile of its steps; halfbyte bench --profile takes one.";
    return section("profile", "Where the time goes", null, absent(text));
  }
  const depths = distinct(phases.map((p) => p.depth));
  const body = el("div", {});
  const show = (index) => {
    const chosen = phases.filter((p) => p.depth === depths[index]);
    body.replaceChildren(...[
      roofline(report, chosen), kernelTables(report, chosen),
      el("h3", {}, "By operator"), pair(chosen.map(operatorChart)),
      el("h3", {}, "By layer"), pair(chosen.map((phase) => layerChart(phase, operatorColours(chosen)))), operatorTables(chosen),
      el("h3", {}, "Call by call"), chosen.map(callChart), callTables(chosen),
    ].flat());
    redraw(body);
  };
  show(0);
  const clock = report.profile.gpu_clock ? "the GPU's own clock" : "submissions of single calls, whose own cost is included";
  const times = phases.filter((p) => p.depth === depths[0]).map((p) => `${phaseName(p)}: ${time(total(p))}`);
  const lede = `${times.join("; ")}, by kernels at depth ${whole(depths[0])}. ` +
    `Times are those of ${clock}, medians of repetitions.`;
  return section("profile", "Where the time goes", lede,
    depths.length > 1 && picker("Tokens in the cache", depths.map(whole), 0, show), body);
}

/** The roofs of the report: what operations reach at most. */
function roofsOf(peaks) {
  if (!peaks) return [];
  const roofs = [["f32", peaks.f32], ["f16", peaks.f16], ["matrices", peaks.coop]];
  return roofs.filter(([, rate]) => finite(rate) && rate > 0).map(([name, rate]) => ({ name, rate }));
}

/** Seconds that operations take at the rates which their kernels can use. */
function leastSeconds(peaks, kernel) {
  const coop = kernel.coop_flops ?? 0;
  return (kernel.flops - coop) / peaks.f32 + coop / (peaks.coop ?? peaks.f32);
}

function kernelTip(report, phase, k) {
  const { peaks } = report;
  return {
    title: k.kernel,
    lines: [
      ["", phaseName(phase)],
      ["time", `${time(k.seconds)} in ${plural(k.calls, "call")}`],
      ["share", share(k.seconds / total(phase))],
      ["memory", k.seconds > 0 ? si(k.bytes / k.seconds, "B/s") : NONE],
      ["of read", percent(k.bytes / k.seconds / peaks?.read)],
      ["arithmetic", k.seconds > 0 ? si(k.flops / k.seconds, "FLOP/s") : NONE],
      ["of its peak", peaks ? percent(leastSeconds(peaks, k) / k.seconds) : NONE],
      ["operations per byte", number(k.flops / k.bytes)],
    ],
  };
}

function roofline(report, phases) {
  const points = [];
  let left = 0;
  phases.forEach((phase) => {
    const all = total(phase);
    const kind = phase.kind === "prefill" ? 0 : 1;
    phase.kernels.forEach((k, i) => {
      if (!(k.flops > 0 && k.bytes > 0 && k.seconds > 0)) {
        left += 1;
        return;
      }
      points.push({
        x: k.flops / k.bytes, y: k.flops / k.seconds, size: k.seconds / all, colour: colour(kind), mark: kind * 2,
        label: k.seconds / all >= 0.02 ? `${kind ? "D" : "P"}${i + 1}` : null, tip: kernelTip(report, phase, k),
      });
    });
  });
  if (!points.length) return absent("No kernel of these steps computes anything, so that there is no roofline.");
  const notes = [
    "Areas are shares of the step's time; labels are rows of the tables below. Bytes and operations are what the plan must " +
      "move and compute, each byte once, so that data which stays in a cache can pass the roof.",
    left > 0 && `${plural(left, "kernel")} without arithmetic ${left === 1 ? "is" : "are"} only in the tables.`,
    !report.peaks && "The device's peaks were not measured, so that there are no roofs.",
  ];
  return rooflineChart({
    title: "Roofline: kernels under what the device has shown in the same run",
    description: points.map((p) => `${p.tip.title}: ${number(p.x)} operations per byte, ${si(p.y, "FLOP/s")}`).join("; "),
    note: notes.filter(Boolean).join(" "),
    legend: phases.map((p) => ({ name: phaseName(p), colour: phaseColour(p), mark: p.kind === "prefill" ? 0 : 2 })),
    points, read: report.peaks?.read, roofs: roofsOf(report.peaks),
  });
}

function kernelTables(report, phases) {
  const { peaks } = report;
  return phases.map((phase) => {
    const all = total(phase);
    const letter = phase.kind === "prefill" ? "P" : "D";
    const sumOf = (field) => sum(phase.kernels.map((k) => k[field]));
    const sums = ["calls", "bytes", "flops", "coop_flops"].map((field) => [field, sumOf(field)]);
    const everything = { kernel: "all", seconds: all, ...Object.fromEntries(sums) };
    return folded(`Kernels of ${phaseName(phase).toLowerCase()}`, phase.kernels.length, table({
      caption: `Kernels of ${phaseName(phase).toLowerCase()} at depth ${whole(phase.depth)}`,
      rows: phase.kernels.map((k, i) => ({ ...k, label: `${letter}${i + 1}` })),
      foot: [everything],
      columns: [
        { name: "", text: true, value: (k) => k.label ?? "" },
        { name: "kernel", head: true, value: (k) => k.kernel },
        { name: "calls", value: (k) => whole(k.calls) },
        { name: "ms", value: (k) => number(k.seconds * 1e3) },
        { name: "share", value: (k) => share(k.seconds / all) },
        { name: "op/byte", value: (k) => number(k.flops / k.bytes) },
        { name: "GB/s", value: (k) => number(k.bytes / k.seconds / 1e9) },
        { name: "of read", value: (k) => percent(k.bytes / k.seconds / peaks?.read) },
        { name: "GFLOP/s", value: (k) => number(k.flops / k.seconds / 1e9) },
        { name: "of its peak", value: (k) => (peaks ? percent(leastSeconds(peaks, k) / k.seconds) : NONE) },
      ],
    }));
  });
}

/** Operators with their times over all layers, the longest first. */
function operatorTimes(phase) {
  const all = new Map();
  for (const { operator, calls, seconds } of list(phase.operators)) {
    const known = all.get(operator) ?? { operator, calls: 0, seconds: 0 };
    all.set(operator, { operator, calls: known.calls + calls, seconds: known.seconds + (finite(seconds) ? seconds : 0) });
  }
  return [...all.values()].sort((a, b) => b.seconds - a.seconds);
}

function operatorChart(phase) {
  const times = operatorTimes(phase);
  if (!times.length) return absent(`${phaseName(phase)}: no times of operators.`);
  const all = sum(times.map((t) => t.seconds));
  return barChart({
    title: `${phaseName(phase)}: ${time(all)}`,
    description: times.map((t) => `${t.operator} ${time(t.seconds)}, ${percent(t.seconds / all)}`).join("; "),
    groups: times.map((t) => ({
      name: t.operator || "other",
      bars: [{
        value: t.seconds, text: `${time(t.seconds)} · ${share(t.seconds / all)}`, colour: phaseColour(phase),
        tip: {
          title: t.operator || "other",
          lines: [
            ["time", time(t.seconds)],
            ["share", share(t.seconds / all)],
            ["calls", whole(t.calls)],
            ["each", time(t.seconds / t.calls)],
          ],
        },
      }],
    })),
  });
}

/** Colours of the operators that take the largest shares of layers, the same in all phases; the rest have one. */
function operatorColours(phases) {
  const shares = new Map();
  for (const phase of phases) {
    const inside = operatorTimes({ operators: list(phase.operators).filter((o) => finite(o.layer)) });
    const all = sum(inside.map((t) => t.seconds)) || 1;
    for (const { operator, seconds } of inside) shares.set(operator, (shares.get(operator) ?? 0) + seconds / all);
  }
  const most = [...shares.keys()].sort((a, b) => shares.get(b) - shares.get(a)).slice(0, 5);
  return { most, of: (operator) => (most.includes(operator) ? colour(most.indexOf(operator)) : "var(--rest)") };
}

function legendOf({ most, of }, count) {
  const rest = count > most.length ? [{ name: "others", colour: "var(--rest)" }] : [];
  return [...most.map((name) => ({ name: name || "other", colour: of(name) })), ...rest];
}

function layerChart(phase, colours) {
  const operators = list(phase.operators);
  const layers = distinct(operators.map((o) => o.layer).filter(finite));
  if (!layers.length) return absent(`${phaseName(phase)}: the nodes' names tell no layers.`);
  const rank = (o) => (colours.most.includes(o.operator) ? colours.most.indexOf(o.operator) : 9);
  const column = (name, title, parts) => ({
    name,
    parts: parts.sort((a, b) => rank(a) - rank(b)).map((o) => ({
      value: o.seconds * 1e3, colour: colours.of(o.operator),
      tip: {
        title: `${title}: ${o.operator}`,
        lines: [["time", time(o.seconds)], ["calls", whole(o.calls)], ["of the layer", share(o.seconds / secondsOf(parts))]],
      },
    })),
  });
  const outside = operators.filter((o) => !finite(o.layer));
  const rest = secondsOf(outside);
  const besides = outside.map((o) => `${o.operator} ${time(o.seconds)}`);
  return stackChart({
    title: phaseName(phase), xLabel: "layer", yLabel: "ms",
    description: layers.map((l) => `layer ${l}: ${time(secondsOf(operators.filter((o) => o.layer === l)))}`).join(", "),
    note: rest > 0 ? `Besides, ${time(rest)} outside of layers: ${besides.join(", ")}.` : null,
    legend: legendOf(colours, distinct(operators.filter((o) => finite(o.layer)).map((o) => o.operator)).length),
    columns: layers.map((l) => column(String(l), `layer ${l}`, operators.filter((o) => o.layer === l))),
  });
}

function operatorTables(phases) {
  const name = (phase) => `Operators of ${phaseName(phase).toLowerCase()}, by layer`;
  const shown = phases.filter((p) => list(p.operators).length);
  return shown.map((phase) => folded(name(phase), phase.operators.length, table({
    caption: `Operators of ${phaseName(phase).toLowerCase()} at depth ${whole(phase.depth)}, by layer`,
    rows: phase.operators,
    columns: [
      { name: "operator", head: true, value: (o) => o.operator || "other" },
      { name: "layer", value: (o) => whole(o.layer) },
      { name: "calls", value: (o) => whole(o.calls) },
      { name: "ms", value: (o) => number(o.seconds * 1e3) },
    ],
  })));
}

/** Kernels in the order of the step, each as wide as its time. */
function callChart(phase) {
  const calls = list(phase.calls);
  if (!calls.length) return absent(`${phaseName(phase)}: no times of single calls.`);
  const most = list(phase.kernels).slice(0, 5).map((k) => k.kernel);
  const of = (kernel) => (most.includes(kernel) ? colour(most.indexOf(kernel)) : "var(--rest)");
  const longest = [...calls].sort((a, b) => b.seconds - a.seconds).slice(0, 3);
  let at = 0;
  return stripChart({
    title: `${phaseName(phase)}: ${plural(calls.length, "call")} in the order of the step`,
    description: `The longest: ${longest.map((c) => `${c.node} ${time(c.seconds)}`).join(", ")}`,
    legend: legendOf({ most, of }, phase.kernels.length),
    parts: calls.map((c, i) => {
      const lines = [["call", whole(i)], ["kernel", c.kernel], ["time", time(c.seconds)], ["from", time(at)]];
      at += finite(c.seconds) ? c.seconds : 0;
      return { value: c.seconds, colour: of(c.kernel), tip: { title: c.node, lines } };
    }),
  });
}

function callTables(phases) {
  const name = (phase) => `Calls of ${phaseName(phase).toLowerCase()}`;
  const shown = phases.filter((p) => list(p.calls).length);
  return shown.map((phase) => folded(name(phase), phase.calls.length, table({
    caption: `Calls of ${phaseName(phase).toLowerCase()} at depth ${whole(phase.depth)}`,
    rows: phase.calls,
    columns: [
      { name: "node", head: true, value: (c) => c.node },
      { name: "kernel", text: true, value: (c) => c.kernel },
      { name: "µs", value: (c) => number(c.seconds * 1e6) },
    ],
  })));
}
