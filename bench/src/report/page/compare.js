// Several reports beside each other.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const letter = (index) => LETTERS[index] ?? `#${index + 1}`;
/** What each report has, behind its letter. */
const lettered = (reports, text) => reports.map((_, i) => `${letter(i)} ${text(i)}`).join(", ");

/** What may differ between reports, in words. */
const TRAITS = [
  ["device", (r) => r.device.name],
  ["driver", (r) => r.device.driver],
  ["backend", (r) => r.device.backend],
  ["profile", (r) => r.device.profile],
  ["model", (r) => r.model.name],
  ["format", (r) => r.model.format],
  ["activations", (r) => r.settings.activations],
  ["KV cache", (r) => r.settings.kv_cache],
  ["chunk", (r) => whole(r.settings.chunk)],
  ["longest submission", (r) => `${tidy(r.settings.max_submit_ms)} ms`],
  ["repetitions", (r) => whole(r.settings.repetitions)],
  ["16-bit floats", (r) => r.device.f16],
  ["read bandwidth", (r) => si(r.peaks?.read, "B/s")],
  ["f32", (r) => si(r.peaks?.f32, "FLOP/s")],
  ["version", (r) => r.program.version],
  ["commit", (r) => r.program.commit ?? NONE],
  ["build", (r) => (r.program.optimised ? "release" : "debug")],
  ["start", (r) => `${r.start.kind}, ${time(r.start.seconds)}`],
  ["memory on the GPU", (r) => bytes(needed(r.memory))],
];

/** Names that tell reports apart: the device, and what else differs where that does not. */
function namesOf(reports) {
  const devices = reports.map((r) => r.device.name || "no name");
  const differing = TRAITS.slice(1, 12).concat(TRAITS.slice(14, 17)).filter(([, of]) => new Set(reports.map(of)).size > 1);
  return reports.map((report, i) => {
    const alone = devices.filter((name) => name === devices[i]).length === 1;
    return alone ? devices[i] : [devices[i], ...differing.slice(0, 2).map(([, of]) => of(report))].join(", ");
  });
}

/** The measurements by test, in the order in which they first come, prefill first. */
function testsOf(reports) {
  const all = new Map();
  for (const [i, report] of reports.entries()) {
    for (const m of list(report.measurements)) {
      const name = testName(m);
      if (!all.has(name)) all.set(name, { name, kind: m.kind, tokens: m.tokens, depth: m.depth, of: [] });
      all.get(name).of[i] ??= m;
    }
  }
  const order = (a, b) => (a.kind !== b.kind ? (a.kind === "prefill" ? -1 : 1) : a.depth - b.depth || a.tokens - b.tokens);
  return [...all.values()].sort(order);
}

/** A rate over the base's, with the deviation of both. */
function ratio(m, base) {
  if (!(m?.rate?.mean > 0 && base?.rate?.mean > 0)) return null;
  const value = m.rate.mean / base.rate.mean;
  const part = (s) => (finite(s.sd) && s.mean > 0 ? s.sd / s.mean : 0);
  return { value, sd: value * Math.hypot(part(m.rate), part(base.rate)) };
}

function ratioText(r) {
  if (!r) return NONE;
  const verdict = Math.abs(r.value - 1) <= r.sd ? "same" : r.value > 1 ? "better" : "worse";
  return el("span", { class: verdict }, `${fixed(r.value, 2)} ± ${fixed(r.sd, 2)}`);
}

function comparison(reports, names) {
  const tests = testsOf(reports);
  const body = el("div", {});
  const show = (base) => body.replaceChildren(ratios(reports, names, tests, base));
  show(0);
  const chart = (kind) => compareChart(tests.filter((t) => t.kind === kind), kind, names);
  const charts = ["prefill", "decode"].map(chart).filter(Boolean);
  const entry = (name, i) => el("li", {}, swatch({ colour: colour(i) }), el("b", {}, letter(i)), ` ${name}`);
  return section("compare", "Side by side",
    `${plural(reports.length, "report")}. Means of the repetitions; bars are one standard deviation.`,
    el("ol", { class: "names" }, names.map(entry)),
    charts.length ? pair(charts) : absent("None of the reports has measurements."),
    tests.length > 0 && [picker("Ratios are to", names.map((name, i) => `${letter(i)} ${short(name, 24)}`), 0, show), body],
    differences(reports, names),
    longRuns(reports, names),
    operatorsTogether(reports, names));
}

function compareChart(tests, kind, names) {
  if (!tests.length) return null;
  const bar = (test) => (name, i) => {
    const m = test.of[i];
    return finite(m?.rate?.mean) && {
      value: m.rate.mean, sd: m.rate.sd, colour: colour(i),
      text: `${letter(i)}  ${number(m.rate.mean)}`, tip: { ...rateTip(m), title: `${letter(i)} ${name}: ${test.name}` },
    };
  };
  return barChart({
    title: `${sentence(kind)}, tokens/s`,
    description: tests.map((t) => `${t.name}: ${lettered(names, (i) => number(t.of[i]?.rate?.mean))}`).join("; "),
    groups: tests.map((test) => ({ name: test.name, bars: names.map(bar(test)).filter(Boolean) })).filter((g) => g.bars.length),
  });
}

function ratios(reports, names, tests, base) {
  const others = names.map((_, i) => i).filter((i) => i !== base);
  const row = (test) => ({
    name: test.name,
    base: test.of[base],
    ratios: others.map((i) => ratio(test.of[i], test.of[base])),
    rates: others.map((i) => test.of[i]),
  });
  // The mean of ratios is a geometric one: it is the same whichever report is the base.
  const mean = (kind) => {
    const rows = tests.filter((t) => t.kind === kind).map(row);
    const of = (place) => {
      const values = rows.map((r) => r.ratios[place]?.value).filter((v) => v > 0);
      return values.length ? `${fixed(Math.exp(sum(values.map(Math.log)) / values.length), 2)} (${values.length})` : NONE;
    };
    return { name: `${kind}, geometric mean (tests)`, means: others.map((_, place) => of(place)) };
  };
  return table({
    caption: `Tokens a second, and how many times those of the base, ${letter(base)} ${names[base]}, they are`,
    rows: tests.map(row),
    foot: ["prefill", "decode"].filter((kind) => tests.some((t) => t.kind === kind)).map(mean),
    columns: [
      { name: "test", head: true, value: (r) => r.name },
      { name: `base: ${letter(base)}`, value: (r) => (r.means ? "" : meanOf(r.base?.rate)) },
      ...others.flatMap((i, place) => [
        { name: letter(i), value: (r) => (r.means ? "" : meanOf(r.rates[place]?.rate)) },
        { name: `${letter(i)} / ${letter(base)}`, value: (r) => (r.means ? r.means[place] : ratioText(r.ratios[place])) },
      ]),
    ],
  });
}

function differences(reports, names) {
  const differs = ([, of]) => new Set(reports.map(of)).size > 1;
  const [other, same] = [TRAITS.filter(differs), TRAITS.filter((trait) => !differs(trait))];
  const words = same.map(([name, of]) => `${name} ${of(reports[0])}`).filter((text) => !text.endsWith(NONE));
  return [
    other.length > 0 && table({
      caption: "What differs",
      rows: other,
      columns: [
        { name: "", head: true, value: ([name]) => name },
        ...names.map((_, i) => ({ name: letter(i), text: true, value: ([, of]) => of(reports[i]) })),
      ],
    }),
    words.length > 0 && el("p", { class: "note" }, `The same in all: ${words.join(", ")}.`),
  ];
}
