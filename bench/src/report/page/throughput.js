// Rates by prompt length and by depth.

function rateTip(m) {
  return {
    title: testName(m),
    lines: [
      ["mean ± sd", `${meanOf(m.rate)} tokens/s`],
      ["median", measure(m.rate.median, "tokens/s", 4)],
      ["least to greatest", finite(m.rate.least) ? `${number(m.rate.least, 4)} to ${number(m.rate.greatest, 4)}` : NONE],
      ["first token", measure(m.first_token_ms?.median, "ms")],
      ["token, p5 to p95", m.token_ms ? `${number(m.token_ms.p5)} to ${number(m.token_ms.p95)} ms` : NONE],
      ["of read bandwidth", percent(m.of_read)],
      ["of arithmetic", percent(m.of_arithmetic)],
    ],
  };
}

/** Lines over one of `tokens` and `depth`, one line for each value of the other. */
function rateChart(tests, over, by, words) {
  const values = distinct(tests.map((m) => m[by]));
  const xs = distinct(tests.map((m) => m[over]));
  const series = values.map((value, i) => ({
    name: by === "depth" ? `depth ${whole(value)}` : plural(value, "token"),
    colour: shade(i, values.length), dash: DASHES[i % DASHES.length], mark: i,
    points: tests.filter((m) => m[by] === value).sort((a, b) => a[over] - b[over])
      .map((m) => ({ x: m[over], y: m.rate.mean, sd: m.rate.sd, tip: rateTip(m) })),
  }));
  const log = xs[0] > 0 && xs.at(-1) / xs[0] > 6;
  return lineChart({
    title: words.title, description: `${words.title}: ${tests.map((m) => `${testName(m)} ${number(m.rate.mean)}`).join(", ")}`,
    x: { label: words.x, log, ticks: xs.length <= 9 ? xs : undefined, text: whole }, y: { label: "tokens/s" }, series,
  });
}

function throughput(report) {
  const tests = list(report.measurements).filter((m) => m.rate);
  if (!tests.length) return section("throughput", "Throughput", null, absent("The report has no measurements."));
  const [prefill, decode] = ["prefill", "decode"].map((kind) => tests.filter((m) => m.kind === kind));
  const charts = rateCharts(...[prefill, decode].map((of) => of.filter((m) => finite(m.rate.mean))));
  return section("throughput", "Throughput", throughputLede(prefill, decode),
    charts.length ? pair(charts) : absent("One length at one depth makes no curve; the numbers are in the table."),
    rateTable(prefill, "prefill"),
    rateTable(decode, "decode"),
    folded("What each token costs", undefined, costTable(tests)));
}

/** Each over what was varied. */
function rateCharts(prefill, decode) {
  const charts = [];
  if (distinct(prefill.map((m) => m.tokens)).length > 1) {
    charts.push(rateChart(prefill, "tokens", "depth", { title: "Prefill by prompt length", x: "prompt tokens" }));
  } else if (distinct(prefill.map((m) => m.depth)).length > 1) {
    charts.push(rateChart(prefill, "depth", "tokens", { title: "Prefill by depth", x: "tokens in the cache" }));
  }
  if (distinct(decode.map((m) => m.depth)).length > 1) {
    charts.push(rateChart(decode, "depth", "tokens", { title: "Decode by depth", x: "tokens in the cache" }));
  } else if (distinct(decode.map((m) => m.tokens)).length > 1) {
    charts.push(rateChart(decode, "tokens", "depth", { title: "Decode by length", x: "generated tokens" }));
  }
  return charts;
}

function throughputLede(prefill, decode) {
  const kept = (tests) => {
    const tokens = largest(tests.map((m) => m.tokens));
    const line = tests.filter((m) => m.tokens === tokens && m.rate.mean > 0).sort((a, b) => a.depth - b.depth);
    const [first, last] = [line[0], line.at(-1)];
    if (line.length < 2) return null;
    const part = percent(last.rate.mean / first.rate.mean);
    return `keeps ${part} of its rate from depth ${whole(first.depth)} to ${whole(last.depth)}`;
  };
  const parts = [["prefill", kept(prefill)], ["decode", kept(decode)]].filter(([, text]) => text);
  const lede = parts.length ? sentence(`${parts.map((part) => part.join(" ")).join("; ")}. `) : "";
  return `${lede}Means of the repetitions; bars are one standard deviation.`;
}

function rateTable(tests, kind) {
  const times = kind === "prefill"
    ? [{ name: "first token, ms", value: (m) => number(m.first_token_ms?.median) }]
    : [["token, ms", "median"], ["p5", "p5"], ["p95", "p95"]]
      .map(([name, of]) => ({ name, value: (m) => number(m.token_ms?.[of]) }));
  return tests.length > 0 && table({
    caption: `${sentence(kind)}, tokens a second`,
    rows: tests,
    columns: [
      { name: "test", head: true, value: testName },
      { name: "mean ± sd", value: (m) => meanOf(m.rate) },
      { name: "median", value: (m) => number(m.rate.median, 4) },
      { name: "least", value: (m) => number(m.rate.least, 4) },
      { name: "greatest", value: (m) => number(m.rate.greatest, 4) },
      ...times,
      { name: "of read", value: (m) => percent(m.of_read) },
      { name: "of arithmetic", value: (m) => percent(m.of_arithmetic) },
    ],
  });
}

function costTable(tests) {
  const cpu = (part) => (m) => number(m.cpu_parts_ms?.[part]);
  return table({
    caption: "Each token: what it moves and computes by the plan, CPU time in ms, and how long submissions keep the GPU in ms",
    rows: tests,
    columns: [
      { name: "test", head: true, value: testName },
      { name: "bytes", value: (m) => bytes(m.bytes_per_token) },
      { name: "operations", value: (m) => si(m.flops_per_token, "") },
      { name: "dispatches", value: (m) => number(m.dispatches_per_token) },
      { name: "copied", value: (m) => bytes(m.copied_bytes_per_token) },
      { name: "CPU", value: (m) => number(m.cpu_ms_per_token) },
      ...["bind", "write", "record", "submit", "read"].map((part) => ({ name: part, value: cpu(part) })),
      { name: "submission, median", value: (m) => number(m.submit_ms?.median) },
      { name: "p90", value: (m) => number(m.submit_ms?.p90) },
      { name: "longest", value: (m) => number(m.submit_ms?.longest) },
      { name: "repetitions, tokens/s", value: (m) => list(m.rates).map((r) => number(r, 4)).join("  ") || NONE },
    ],
  });
}
