// Long runs and operators of several reports in one chart.

/** Rates over time, where more than one report has them. */
function longRuns(reports, names) {
  const runs = reports.map((report, i) => ({ i, long: report.sustained })).filter(({ long }) => list(long?.samples).length > 1);
  if (runs.length < 2) return null;
  const ends = runs.map(({ long }) => sum(long.samples.map((s) => s.seconds)));
  const { label, scale } = overSeconds(largest(ends));
  const rows = runs.map(({ i, long }) => ({ ...long, i, part: long.last / long.first }));
  return [
    lineChart({
      title: "Long runs, tokens a second",
      description: rows.map((r) => `${letter(r.i)}: ${r.test} from ${number(r.first)} to ${number(r.last)}`).join(", "),
      x: { label, ends: [0, largest(ends) * scale] }, y: { label: "tokens/s" }, least: TIME_LEFT,
      series: runs.map(({ i, long }) => {
        let at = 0;
        const points = long.samples.map(({ seconds, rate }) => {
          at += finite(seconds) ? seconds : 0;
          const lines = [["at", time(at)], ["rate", measure(rate, "tokens/s", 4)]];
          return { x: at * scale, y: rate, tip: { title: `${letter(i)} ${names[i]}: ${long.test}`, lines } };
        });
        return { name: `${letter(i)} ${long.test}`, colour: colour(i), dash: DASHES[i % DASHES.length], points };
      }),
    }),
    table({
      caption: "Long runs, tokens a second",
      rows,
      columns: [
        { name: "", head: true, value: (r) => letter(r.i) },
        { name: "test", text: true, value: (r) => r.test },
        { name: "first tenth", value: (r) => number(r.first, 4) },
        { name: "last tenth", value: (r) => number(r.last, 4) },
        { name: "kept", value: (r) => percent(r.part) },
      ],
    }),
  ];
}

/** Times of operators in equal steps, where more than one report has them. */
function operatorsTogether(reports, names) {
  const charts = ["prefill", "decode"].map((kind) => {
    const phases = reports.map((r) => list(r.profile?.phases).filter((p) => p.kind === kind && list(p.operators).length));
    const first = phases.find((of) => of.length)?.[0];
    const equal = phases.map((of) => of.find((p) => p.tokens === first.tokens && p.depth === first.depth));
    return equal.filter(Boolean).length > 1 && operatorBars(equal, names);
  }).filter(Boolean);
  return charts.length > 0 && pair(charts);
}

function operatorBars(phases, names) {
  const times = phases.map((phase) => new Map(phase ? operatorTimes(phase).map((t) => [t.operator, t]) : []));
  const longest = (operator) => largest(times.map((of) => of.get(operator)?.seconds));
  const operators = [...new Set(times.flatMap((of) => [...of.keys()]))].sort((a, b) => longest(b) - longest(a));
  const bar = (operator) => (of, i) => {
    const found = of.get(operator);
    return found && {
      value: found.seconds, colour: colour(i), text: `${letter(i)}  ${time(found.seconds)}`,
      tip: {
        title: `${letter(i)} ${names[i]}: ${operator}`,
        lines: [
          ["time", time(found.seconds)],
          ["calls", whole(found.calls)],
          ["share", share(found.seconds / total(phases[i]))],
        ],
      },
    };
  };
  const { depth, ...step } = phases.find(Boolean);
  const title = `${phaseName(step)} at depth ${whole(depth)}, by operator`;
  const rows = operators.map((operator) => ({ operator, seconds: times.map((of) => of.get(operator)?.seconds) }));
  return el("div", {},
    barChart({
      title,
      description: rows.map((r) => `${r.operator}: ${lettered(r.seconds, (i) => time(r.seconds[i]))}`).join("; "),
      groups: operators.slice(0, 8).map((operator) => ({
        name: operator || "other",
        bars: times.map(bar(operator)).filter(Boolean),
      })),
      note: operators.length > 8 ? "The eight longest; all are in the table." : null,
    }),
    folded("As a table", operators.length, table({
      caption: `${title}, ms`,
      rows,
      columns: [
        { name: "operator", head: true, value: (r) => r.operator || "other" },
        ...names.map((_, i) => ({ name: letter(i), value: (r) => number(r.seconds[i] * 1e3) })),
      ],
    })));
}
