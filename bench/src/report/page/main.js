// The page: its sections, for the report that is shown.

const SECTIONS = [headline, throughput, sustained, conditions, profiled, memoryMap, startAndMemory, kernels];
const ROOT = document.documentElement;

/** A part of the page; one that fails says so in its place, and the others stand. */
function attempt(part, ...given) {
  try {
    return part(...given);
  } catch (error) {
    ROOT.dataset.errors = Number(ROOT.dataset.errors ?? 0) + 1;
    return el("section", {}, absent(`This part of the report cannot be drawn (${part.name}): ${error}`));
  }
}

/** Draws the charts of a part that has just come into the page. */
function redraw(node) {
  for (const chart of node.querySelectorAll("figure")) {
    const failed = attempt(chart.redraw);
    if (failed) chart.replaceChildren(failed);
  }
}

function contents(sections) {
  const link = (s) => el("li", {}, el("a", { href: `#${s.id}` }, s.querySelector("h2").textContent));
  const links = sections.filter((s) => s.id).map(link);
  return el("nav", { "aria-label": "Sections" }, el("ul", {}, links));
}

function save(reports) {
  const keep = () => {
    const data = new Blob([JSON.stringify(reports, null, 1)], { type: "application/json" });
    const link = el("a", { href: URL.createObjectURL(data), download: "halfbyte-bench.json" });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return el("footer", {}, el("button", { type: "button", onclick: keep }, "Save the data as JSON"));
}

const comparisonHead = () => el("header", {}, el("p", { class: "kicker" }, "Halfbyte benchmark"), el("h1", {}, "Comparison"));

function page(reports) {
  const names = namesOf(reports);
  const main = el("main", {});
  const aside = el("div", { class: "aside" });
  const head = el("div", {});
  const together = reports.length > 1 ? attempt(comparison, reports, names) : null;
  const show = (index) => {
    const report = reports[index];
    const sections = SECTIONS.map((part) => attempt(part, report));
    const top = attempt(overview, report, !together);
    const choices = names.map((name, i) => `${letter(i)} ${short(name, 40)}`);
    const choice = together && picker("Report in detail", choices, index, show);
    choice?.addEventListener("change", () => document.querySelector(".which :checked").focus({ preventScroll: true }));
    head.replaceChildren(together ? comparisonHead() : top);
    const which = choice && el("div", { class: "which", id: "detail" }, choice);
    main.replaceChildren(...[together, which, together && top, ...sections].filter(Boolean));
    aside.replaceChildren(contents([together, ...sections].filter(Boolean)));
    redraw(main);
  };
  document.getElementById("page").replaceChildren(head, aside, main, save(reports));
  document.title = `${names.join(", ")}: Halfbyte benchmark`;
  show(0);
}

window.addEventListener("error", () => { ROOT.dataset.errors = Number(ROOT.dataset.errors ?? 0) + 1; });
watchTips();
const reports = JSON.parse(document.getElementById("data").textContent);
if (reports.length) page(reports);
else document.getElementById("page").replaceChildren(absent("There are no reports in this file."));
ROOT.dataset.errors ??= "0";
