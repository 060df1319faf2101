// What was measured on what, the numbers that matter most, and what the start took.

/** `alone` where nothing else is on the page. */
function overview(report, alone) {
  const { device, program, model, settings } = report;
  const began = list(report.measurements).map((m) => m.began).filter(Boolean).sort()[0];
  return el("header", {},
    alone && el("p", { class: "kicker" }, "Halfbyte benchmark"),
    el(alone ? "h1" : "h2", { class: "device" }, device.name || "A device without a name"),
    el("p", { class: "lede" }, `${model.name}, ${si(model.parameters, "")} parameters in ${model.format}`),
    warnings(report).map((text) => el("p", { class: "warning", role: "note" }, text)),
    facts([
      ["began", moment(began)],
      ["halfbyte", `${program.version}${program.commit ? `, commit ${program.commit}` : ""}`],
      ["system", program.system],
      ["driver", device.driver],
      ["backend", device.backend],
      ["profile", device.profile],
      ["16-bit floats", device.f16],
      ["subgroups", device.subgroups && [...new Set(device.subgroups)].join(" to ")],
      ["cooperative matrices", device.coop ? plural(device.coop, "row") : "none"],
      ["queue", device.low_priority ? "low priority" : "normal priority"],
      ["activations", settings.activations],
      ["KV cache", settings.kv_cache],
      ["chunk", plural(settings.chunk, "token")],
      ["context", plural(settings.context, "token")],
      ["longest submission", settings.max_submit_ms > 0 ? `${tidy(settings.max_submit_ms)} ms wanted` : "not limited"],
      ["start", `${report.start.kind}, ${time(report.start.seconds)}`],
      ["memory on the GPU", bytes(needed(report.memory))],
      ["repetitions", `${whole(settings.repetitions)} and a warm-up`],
    ]));
}

function warnings({ program, qualified }) {
  const struck = list(qualified.struck).length;
  return [
    !program.optimised && "This is a debug build: nothing here is worth comparing.",
    struck > 0 && `${plural(struck, "kernel variant")} gave wrong results on this device and ` +
      `${struck === 1 ? "is" : "are"} not used; see Kernels and device.`,
  ].filter(Boolean);
}

/** Bytes on the GPU. */
const needed = (memory) => sum([memory.weights_bytes, memory.cache_bytes, memory.arena_bytes]);

/** The longest test of a kind at depth 0, or at the least depth. */
function longestTest(report, kind) {
  const tests = list(report.measurements).filter((m) => m.kind === kind && finite(m.rate?.mean));
  const depth = smallest(tests.map((m) => m.depth));
  return tests.filter((m) => m.depth === depth).sort((a, b) => b.tokens - a.tokens)[0];
}

function headline(report) {
  const [prefill, decode] = ["prefill", "decode"].map((kind) => longestTest(report, kind));
  if (!prefill && !decode) return section("headline", "In short", null, absent("The report has no measured rates."));
  const cards = [];
  if (prefill) cards.push(rateCard("Prefill", prefill, "of the arithmetic", prefill.of_arithmetic));
  if (decode) cards.push(rateCard("Decode", decode, "of the read bandwidth", decode.of_read));
  const first = prefill?.first_token_ms;
  if (first) {
    const after = `median, after ${plural(prefill.tokens, "prompt token")}`;
    cards.push(card("First token", number(first.median, 4), "ms", [after, range(first)]));
  }
  const token = decode?.token_ms;
  if (token) cards.push(card("Each token", number(token.median, 4), "ms", [`median of ${whole(token.count)}`, range(token)]));
  return section("headline", "In short", null, el("div", { class: "cards" }, cards));
}

const range = (s) => `${number(s.p5)} to ${number(s.p95)} from p5 to p95`;

function rateCard(name, m, part, share) {
  const { mean, sd } = m.rate;
  const decimals = decimalsOf(mean, 4);
  const spread = finite(sd) && m.rate.count > 1 ? `± ${fixed(sd, decimals)}, ` : "";
  return card(name, number(mean, 4), "tokens/s", [
    `${testName(m)}: ${spread}${plural(m.rate.count, "repetition")}`,
    finite(share) && `${percent(share)} ${part} that this device has shown`,
  ]);
}

function card(name, value, unit, lines) {
  return el("div", { class: "card" },
    el("h3", {}, name),
    el("p", { class: "figure" }, value, el("span", { class: "unit" }, unit)),
    lines.filter(Boolean).map((text) => el("p", {}, text)));
}

function startAndMemory({ start, memory, settings }) {
  const parts = [
    ["file, graph, tokenizer", start.read_seconds],
    ["GPU, beside the file", start.gpu_seconds],
    ["plans", start.plan_seconds],
    ["weights", start.upload_seconds],
    ["pipelines, beside the weights", start.pipelines_seconds],
    ["search for kernels", start.tune_seconds],
  ];
  const held = [["weights", memory.weights_bytes], ["KV cache", memory.cache_bytes], ["arena", memory.arena_bytes]];
  const all = needed(memory);
  const peak = memory.process_peak_bytes;
  const bars = (pairs, text) => pairs.filter(([, value]) => finite(value)).map(([name, value]) => ({
    name, bars: [{ value, text: text(value), colour: colour(0), tip: { title: name, lines: [["", text(value)]] } }],
  }));
  const texts = (pairs, text) => pairs.map(([name, value]) => [name, text(value)]);
  const words = (pairs, text) => texts(pairs, text).map((pair) => pair.join(" ")).join(", ");
  return section("start", "Start and memory",
    `A ${start.kind} start took ${time(start.seconds)}. ` +
      `The GPU holds ${bytes(all)} with room for ${plural(settings.context, "token")}; ` +
      (finite(peak)
        ? `the process held ${bytes(peak)} at most, ${number(peak / all)} times that.`
        : "the system does not tell the most that the process held."),
    pair(
      barChart({ title: "Parts of the start", description: words(parts, time), groups: bars(parts, time) }),
      barChart({ title: "Memory on the GPU", description: words(held, bytes), groups: bars(held, bytes) })),
    folded("As a table", undefined, table({
      caption: "Start and memory", wide: false,
      rows: [...texts(parts, time), ...texts(held, bytes), ["process, at most", bytes(peak)]],
      columns: [{ name: "what", head: true, value: (row) => row[0] }, { name: "seconds or bytes", value: (row) => row[1] }],
    })));
}
