"use strict";
// Numbers as text, and what all scripts of the page share.

// Okabe and Ito's colours in an order that keeps neighbours apart, and the ink that reads on each.
const INK = "#16191d", SOFT = "#5c636b", RULE = "#d9dce0", GROUND = "#f3f4f6";
const PALETTE = [
  ["#0072B2", "#fff"], ["#E69F00", INK], ["#009E73", "#fff"], ["#CC79A7", INK],
  ["#56B4E9", INK], ["#D55E00", "#fff"], ["#F0E442", INK],
];

// With as many digits as the span, in us, needs.
function timeText(us, span = us) {
  const size = Math.abs(span);
  if (size >= 1e6) return `${number(us / 1e6, span / 1e6)} s`;
  if (size >= 1e3) return `${number(us / 1e3, span / 1e3)} ms`;
  if (size >= 0.5) return `${number(us, size)} µs`;
  return `${number(us * 1e3, size * 1e3)} ns`;
}
// As many decimals as tell apart what lies within the span.
function number(value, span) {
  const decimals = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(span) || 1))));
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}
function amountText(count, name) {
  for (const [factor, prefix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= factor) return `${(count / factor).toPrecision(3)} ${prefix}${name}`;
  }
  return `${count} ${name === "B" ? "bytes" : name}`;
}
function memoryText(bytes) {
  for (const [factor, name] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (bytes >= factor) return `${(bytes / factor).toPrecision(3)} ${name}`;
  }
  return `${bytes} bytes`;
}

// The first place of a rising list whose value is above the limit.
function above(values, limit) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > limit) high = middle; else low = middle + 1;
  }
  return low;
}

const sums = (values) => { let sum = 0; return Float64Array.from(values, (v) => (sum += v)); };
