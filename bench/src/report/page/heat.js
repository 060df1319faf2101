// Rates over a long time, and what the sensors said around each test.

const sensorName = ({ name, kind, unit }) => `${name} ${kind}${unit ? `, ${unit === "C" ? "°C" : unit}` : ""}`;

/** Places of the sensors of a kind that told anything in these readings. */
function told(report, kind, readings) {
  const present = list(report.sensors?.present);
  return present.map((_, i) => i).filter((i) => present[i].kind === kind && readings.some((r) => finite(r?.values?.[i])));
}

/** The hottest temperature of a reading. */
function hottest(report, reading) {
  const of = (sensor, i) => (sensor.kind === "temperature" ? reading?.values?.[i] : null);
  const values = list(report.sensors?.present).map(of);
  const most = largest(values);
  return finite(most) ? most : null;
}

function sustained(report) {
  const long = report.sustained;
  const samples = list(long?.samples).filter((s) => finite(s.seconds) && s.seconds >= 0);
  if (!samples.length) {
    return section("sustained", "Over time", null, absent("No long run was measured; halfbyte bench --sustained takes one."));
  }
  let clock = 0;
  const points = samples.map((sample) => ({ sample, at: (clock += sample.seconds) }));
  const readings = samples.map((s) => s.heat);
  const [start, end] = [hottest(report, readings[0]), hottest(report, readings.at(-1))];
  const kept = long.last / long.first;
  const lede = `${long.test}, repeated for ${time(clock)}: ${number(long.first, 4)} tokens/s in the first tenth of the time, ` +
    `${number(long.last, 4)} in the last${finite(kept) ? `, which is ${percent(kept)} of it` : ""}.` +
    (finite(start) && finite(end) ? ` The hottest sensor went from ${number(start)} to ${number(end)} °C.` : "");
  const charts = [rateOverTime(long, points, clock)];
  for (const [kind, title] of [["temperature", "Temperatures, °C"], ["clock", "Clocks, MHz"]]) {
    const chart = sensorsOverTime(report, points, kind, title);
    if (chart) charts.push(chart);
  }
  const heat = list(report.sensors?.present);
  return section("sustained", "Over time", lede, charts,
    charts.length === 1 && absent("No sensor told its temperature during the run."),
    folded("Repetition by repetition", samples.length, table({
      caption: `Repetitions of ${long.test}`,
      rows: points,
      columns: [
        { name: "at, s", head: true, value: (p) => number(p.at, 4) },
        { name: "tokens/s", value: (p) => number(p.sample.rate, 4) },
        ...heat.map((sensor, i) => ({ name: sensorName(sensor), value: (p) => number(p.sample.heat?.values?.[i]) })),
      ],
    })));
}

/** Room for the labels of all charts over time, pixels. */
const TIME_LEFT = 56;
const overSeconds = (clock) => (clock >= 300 ? { label: "minutes", scale: 1 / 60 } : { label: "seconds", scale: 1 });

function rateOverTime(long, points, clock) {
  const { label, scale } = overSeconds(clock);
  const band = (from, to, name, rate) =>
    finite(rate) && points.length > 9 && { from: from * scale, to: to * scale, text: `${name}: ${number(rate, 4)}` };
  return lineChart({
    title: "Tokens a second", height: 240,
    description: `${long.test} over ${time(clock)}: from ${number(long.first)} to ${number(long.last)} tokens a second`,
    x: { label, ends: [0, clock * scale] }, y: { label: "tokens/s" }, least: TIME_LEFT,
    bands: [band(0, clock / 10, "first tenth", long.first), band(clock * 0.9, clock, "last tenth", long.last)].filter(Boolean),
    series: [{
      name: long.test, colour: colour(0),
      points: points.map(({ sample, at }) => ({
        x: at * scale, y: sample.rate,
        tip: {
          title: `at ${time(at)}`,
          lines: [["rate", measure(sample.rate, "tokens/s", 4)], ["took", time(sample.seconds)]],
        },
      })),
    }],
  });
}

function sensorsOverTime(report, points, kind, title) {
  const { label, scale } = overSeconds(points.at(-1).at);
  const places = told(report, kind, points.map((p) => p.sample.heat));
  // The hottest say the most; a phone has dozens of them.
  const peak = (i) => largest(points.map((p) => p.sample.heat?.values?.[i]));
  const shown = [...places].sort((a, b) => peak(b) - peak(a)).slice(0, 5);
  if (!shown.length) return null;
  const unit = kind === "clock" ? "MHz" : "°C";
  const series = shown.map((place, i) => {
    const name = report.sensors.present[place].name;
    return {
      name, colour: colour(i), dash: DASHES[i % DASHES.length],
      points: points.map(({ sample, at }) => ({
        x: at * scale, y: sample.heat?.values?.[place],
        tip: { title: name, lines: [["at", time(at)], [kind, measure(sample.heat?.values?.[place], unit)]] },
      })),
    };
  });
  const rest = places.length - shown.length;
  return lineChart({
    title, height: 200,
    description: series.map((s) => `${s.name}: from ${number(s.points[0].y)} to ${number(s.points.at(-1).y)}`).join(", "),
    note: rest > 0 ? `The ${shown.length} greatest; ${plural(rest, "more is", "more are")} in the table.` : null,
    x: { label, ends: [0, points.at(-1).at * scale] }, y: { zero: kind === "clock" }, series, least: TIME_LEFT,
  });
}

function conditions(report) {
  const tests = list(report.measurements);
  const present = list(report.sensors?.present);
  const missing = list(report.sensors?.absent);
  const without = missing.length ? `Not told by this system: ${missing.join("; ")}.` : null;
  if (!present.length || !tests.length) {
    return section("conditions", "Conditions", null, absent(`No sensor tells heat, clocks or power here. ${without ?? ""}`));
  }
  const change = (m, i) => {
    const [before, after] = [0, 1].map((k) => list(m.heat)[k]?.values?.[i]);
    if (!finite(before) && !finite(after)) return NONE;
    return before === after ? number(before) : `${number(before)} → ${number(after)}`;
  };
  const ends = (m) => [0, 1].map((k) => hottest(report, list(m.heat)[k]));
  const warm = tests.map((m) => ({ m, ends: ends(m) })).filter((test) => test.ends.every(finite));
  const all = warm.flatMap(({ ends }) => ends);
  const lede = warm.length
    ? `The hottest sensor was between ${number(smallest(all))} and ${number(largest(all))} °C while tests ran.`
    : "No sensor told a temperature before and after a test.";
  return section("conditions", "Conditions", lede,
    warm.length > 0 && heatChart(warm),
    folded("All sensors, before and after each test", present.length, table({
      caption: "Sensors before → after each test",
      rows: tests,
      columns: [
        { name: "test", head: true, value: testName },
        { name: "began", text: true, value: (m) => /T([\d:]+)/.exec(m.began ?? "")?.[1] ?? NONE },
        ...present.map((sensor, i) => ({ name: sensorName(sensor), value: (m) => change(m, i) })),
      ],
    })),
    without && el("p", { class: "note" }, without));
}

/** From before to after, test by test. */
function heatChart(warm) {
  const all = warm.flatMap(({ ends }) => ends);
  const draw = (root, width) => {
    const left = Math.max(...warm.map(({ m }) => textWidth(testName(m)))) + 14;
    const scale = linear(smallest(all), largest(all), [left, width - 24], { wanted: Math.max(2, width / 110) });
    const bottom = warm.length * 22 + 4;
    for (const tick of scale.ticks) {
      root.append(svg("line", { class: "grid", x1: scale(tick), x2: scale(tick), y1: 0, y2: bottom }));
      root.append(svg("text", { class: "tick", x: scale(tick), y: bottom + 18, "text-anchor": "middle" }, tidy(tick)));
    }
    warm.forEach(({ m, ends: [before, after] }, i) => {
      const y = i * 22 + 14;
      const group = svg("g", {}, svg("rect", { class: "reach", x: 0, y: y - 11, width, height: 22 }),
        svg("line", { class: "line", x1: scale(before), x2: scale(after), y1: y, y2: y, stroke: colour(0) }),
        svg("circle", { cx: scale(before), cy: y, r: 4, class: "hollow", stroke: colour(0) }),
        svg("circle", { cx: scale(after), cy: y, r: 4, fill: colour(0) }),
        svg("text", { class: "label", x: left - 12, y: y + 4, "text-anchor": "end" }, testName(m)));
      root.append(tip(group, testName(m), [["before", `${number(before)} °C`], ["after", `${number(after)} °C`]]));
    });
    return bottom + 24;
  };
  return figure({
    title: "Hottest sensor from before (ring) to after (dot) each test, °C",
    description: warm.map(({ m, ends }) => `${testName(m)} ${ends.map((t) => number(t)).join(" to ")}`).join(", "), draw,
  });
}
