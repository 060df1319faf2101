// Numbers as people read them, and elements.
"use strict";

const NONE = "–";
const finite = (x) => typeof x === "number" && Number.isFinite(x);
const list = (xs) => (Array.isArray(xs) ? xs : []);
const sum = (xs) => xs.reduce((all, x) => all + (finite(x) ? x : 0), 0);
const largest = (xs) => xs.filter(finite).reduce((a, b) => Math.max(a, b), -Infinity);
const distinct = (xs) => [...new Set(xs)].sort((a, b) => a - b);
const smallest = (xs) => xs.filter(finite).reduce((a, b) => Math.min(a, b), Infinity);

/** A number with so many digits that count; no more than `decimals` behind the point. */
function number(x, digits = 3, decimals = 4) {
  if (!finite(x)) return NONE;
  if (x !== 0 && (Math.abs(x) >= 1e12 || Math.abs(x) < 10 ** -decimals / 2)) return x.toExponential(1);
  return fixed(x, Math.min(decimals, decimalsOf(x, digits)));
}

/** Without zeros at the end: for what was set, and for ticks. */
const tidy = (x) => (finite(x) ? number(x).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "") : NONE);

/** How many decimals leave so many digits that count. */
function decimalsOf(x, digits = 3) {
  return finite(x) && x !== 0 ? Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(x)) + 1e-9)) : 0;
}

function fixed(x, decimals) {
  if (!finite(x)) return NONE;
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return x.toLocaleString("en-US", digits).replace("-", "−");
}

const whole = (x) => fixed(x, 0);
const percent = (part, decimals = 0) => (finite(part) ? `${fixed(part * 100, decimals)} %` : NONE);

/** A part of all, so that small ones are not 0. */
const share = (part) => (part > 0 && part < 0.001 ? "< 0.1 %" : percent(part, part < 0.0995 ? 1 : 0));

/** With a unit, if there is a number. */
const measure = (x, unit, digits) => (finite(x) ? `${number(x, digits)} ${unit}` : NONE);

/** Thousands: 1.2 G with the unit behind it. */
function si(x, unit, text = number) {
  if (!finite(x)) return NONE;
  const prefixes = ["", "k", "M", "G", "T", "P"];
  const step = x === 0 ? 0 : Math.min(5, Math.max(0, Math.floor(Math.log10(Math.abs(x)) / 3 + 1e-9)));
  return `${text(x / 1000 ** step)} ${prefixes[step]}${unit}`.trim();
}

function bytes(x) {
  if (!finite(x)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = x < 1 ? 0 : Math.min(4, Math.floor(Math.log2(x) / 10));
  return `${step ? number(x / 1024 ** step) : whole(x)} ${units[step]}`;
}

function time(seconds) {
  if (!finite(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size >= 120) return `${number(seconds / 60)} min`;
  if (size >= 1 || size === 0) return `${number(seconds)} s`;
  return size >= 1e-3 ? `${number(seconds * 1e3)} ms` : `${number(seconds * 1e6)} µs`;
}

/** Mean and deviation with the same decimals. */
function meanOf(s, digits = 4) {
  if (!s || !finite(s.mean)) return NONE;
  const decimals = decimalsOf(s.mean, digits);
  return s.count > 1 && finite(s.sd) ? `${fixed(s.mean, decimals)} ± ${fixed(s.sd, decimals)}` : fixed(s.mean, decimals);
}

/** As llama-bench names a test. */
function testName(m) {
  return `${m.kind === "prefill" ? "pp" : "tg"}${m.tokens}${m.depth ? ` @ d${m.depth}` : ""}`;
}

/** 2026-11-28T06:40:04Z as 2026-11-28 06:40 UTC. */
function moment(text) {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/.exec(text ?? "");
  return parts ? `${parts[1]} ${parts[2]} UTC` : text || NONE;
}

const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

/** The first letter large. */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** No more than so many characters, cut in the middle, since names differ at both ends. */
function short(text, most) {
  if (text.length <= most) return text;
  const end = Math.max(1, Math.floor((most - 1) / 2));
  return `${text.slice(0, Math.max(1, most - 1 - end))}…${text.slice(-end)}`;
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

const SVG = (() => {
  const holder = document.createElement("template");
  holder.innerHTML = "<svg></svg>";
  return holder.content.firstChild.namespaceURI;
})();
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
