// Tables, sections, and what stands where there is no data.

/**
 * A table. A column: `{ name, value(row), text: true where it holds words, head: true for the one that names the row }`.
 * `foot` rows stand below, in the same columns.
 */
function table({ caption, columns, rows, foot = [], wide = true }) {
  const cell = (row) => (column) => {
    const value = column.value(row) ?? NONE;
    const words = column.text || column.head;
    const kind = [column.text && "text", words && String(value).length > 24 && "long"].filter(Boolean).join(" ");
    return column.head ? el("th", { scope: "row", class: kind || null }, value) : el("td", { class: kind || null }, value);
  };
  // Where rows have short names, these stay in sight.
  const pinned = columns[0].head && rows.every((row) => String(columns[0].value(row)).length <= 24);
  const line = (row) => el("tr", {}, columns.map(cell(row)));
  const head = (c) => el("th", { scope: "col", class: c.text || c.head ? "text" : null }, c.name);
  const grid = el("table", { class: pinned ? "pinned" : null },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, columns.map(head))),
    el("tbody", {}, rows.map(line)),
    foot.length > 0 && el("tfoot", {}, foot.map(line)));
  return wide ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, grid) : grid;
}

/** Folded away; `count` stands beside its name. */
function folded(name, count, ...content) {
  return el("details", {}, el("summary", {}, name, count !== undefined && el("span", { class: "count" }, count)), content);
}

/** A section; where there is nothing to show, `content` is one sentence. */
function section(id, title, lede, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title), lede && el("p", { class: "lede" }, lede), content);
}

const absent = (text) => el("p", { class: "absent" }, text);

/** Names with values, those without left out. */
function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== NONE);
  return el("dl", { class: "facts" }, shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** Charts beside each other where there is room. */
const pair = (...charts) => el("div", { class: "pair" }, charts);

/** One of several. `choices`: names; `choose(index)`. */
function picker(label, choices, chosen, choose) {
  const name = `pick-${(figures += 1)}`;
  return el("fieldset", { class: "picker" }, el("legend", {}, label), choices.map((text, i) =>
    el("label", {},
      el("input", { type: "radio", name, checked: i === chosen, onchange: () => choose(i) }),
      el("span", {}, text))));
}
