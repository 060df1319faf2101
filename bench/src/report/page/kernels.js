// Which kernels were chosen, what is known of their being right, and what the device offers.

function kernels(report) {
  const { device, qualified } = report;
  const choices = list(report.choices);
  const struck = list(qualified.struck);
  const limits = device.limits ?? {};
  const tuned = choices.filter((c) => c.tuned).length;
  const tried = qualified.sound + qualified.unproven + struck.length > 0;
  const lede = !tried ? "No variant of a kernel has been held to the reference on this device." :
    `${plural(qualified.sound, "variant")} gave the reference's results here` +
    `, ${plural(qualified.unproven, "variant has", "variants have")} no case` +
    `, ${plural(struck.length, "variant was", "variants were")} struck off.`;
  return section("kernels", "Kernels and device", lede,
    struck.length > 0 && el("div", { class: "warning" }, el("ul", {}, struck.map((text) => el("li", {}, text)))),
    choices.length
      ? folded("Chosen kernels", `${choices.length}, ${tuned} of them found faster here than the profile's`, table({
        caption: "Chosen kernels",
        rows: choices,
        columns: [
          { name: "problem", head: true, value: (c) => c.problem },
          { name: "variant", text: true, value: (c) => c.variant },
          { name: "chosen by", text: true, value: (c) => (c.tuned ? "measuring" : "profile") },
        ],
      }))
      : absent("The report names no choices of kernels."),
    folded("Limits of the device", undefined, table({
      caption: "Limits of the device", wide: false,
      rows: [
        ["largest buffer", bytes(limits.buffer_bytes)],
        ["largest binding", bytes(limits.binding_bytes)],
        ["threads of a workgroup", whole(limits.workgroup_threads)],
        ["memory of a workgroup", bytes(limits.workgroup_bytes)],
        ["alignment of offsets", bytes(limits.offset_alignment)],
        ["timing of dispatches", device.timestamps ? "by the GPU's clock" : "by submissions"],
      ],
      columns: [{ name: "limit", head: true, value: (row) => row[0] }, { name: "value", value: (row) => row[1] }],
    })),
    peaksTable(report.peaks),
    list(device.features).length
      ? folded("Features that are on", device.features.length,
        el("ul", { class: "features" }, device.features.map((f) => el("li", {}, f))))
      : absent("No feature of the device is on."));
}

function peaksTable(peaks) {
  if (!peaks) return absent("What the device can do at most was not measured.");
  return folded("Peaks, measured in the same run", undefined, table({
    caption: "Peaks, measured in the same run", wide: false,
    rows: [
      ["read", si(peaks.read, "B/s")],
      ["copy", si(peaks.copy, "B/s")],
      ["f32", si(peaks.f32, "FLOP/s")],
      ["f16", si(peaks.f16, "FLOP/s")],
      ["cooperative matrices", si(peaks.coop, "FLOP/s")],
    ],
    columns: [{ name: "what", head: true, value: (row) => row[0] }, { name: "at most", value: (row) => row[1] }],
  }));
}
