"use strict";
// What the time line shows: a row for each unit, live bytes of the memories on the same axis, and the
// whole run in small. Units carry out one instruction after the other: their starts and ends rise.
function makeDrawing(data, box, canvas) {
  const pen = canvas.getContext("2d");
  const AXIS = 24, ROW = 26, GAP = 4, MEMORY = 74, MAP = 30, GUTTER = 78, PAD = 8;
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif";

  const us = data.tick * 1e6; // of a tick
  const units = data.units.map((unit) => {
    const start = sums(unit.start);
    const end = start.map((value, i) => value + unit.length[i]);
    return { ...unit, start, end, index: sums(unit.index) };
  });
  const memories = data.memories.map((memory) => ({ ...memory, time: sums(memory.time), live: sums(memory.live) }));

  const rowTop = (i) => AXIS + i * (ROW + GAP);
  const memoryTop = (i) => rowTop(units.length) + 8 + i * (MEMORY + 12);
  const mapTop = memoryTop(memories.length) + 6;
  const height = mapTop + MAP + 2;
  const whole = Math.max(1, data.end);
  // Ticks from which to which, the layer that stands out or -1, and the place of the pointer.
  const look = { from: 0, to: whole, marked: -1, pointer: null };
  let width = 0;

  const plot = () => Math.max(1, width - GUTTER - PAD);
  const atX = (tick) => GUTTER + (tick - look.from) / (look.to - look.from) * plot();
  const atTick = (x) => look.from + (x - GUTTER) / plot() * (look.to - look.from);

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    width = box.clientWidth;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.height = `${height}px`;
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = FONT;
    pen.textBaseline = "middle";
    drawAxis();
    units.forEach(drawUnit);
    memories.forEach(drawMemory);
    drawMap();
    if (look.pointer) {
      pen.fillStyle = INK;
      pen.fillRect(look.pointer.x, AXIS - 4, 1, mapTop - AXIS);
    }
  }

  // The part of the run that is shown.
  function caption() {
    const { from, to } = look, part = (to - from) / whole;
    if (part >= 1) return `whole run, ${timeText(whole * us)}`;
    const [first, last] = [from, to].map((tick) => timeText(tick * us, (to - from) * us));
    return `${first} to ${last}: ${timeText((to - from) * us)}, ${(100 * part).toPrecision(3)} % of the run`;
  }

  function drawAxis() {
    const wanted = plot() / 110;
    const power = 10 ** Math.floor(Math.log10((look.to - look.from) / wanted));
    const step = power * [1, 2, 5, 10].find((factor) => factor === 10 || (look.to - look.from) / (power * factor) <= wanted);
    pen.textAlign = "center";
    for (let i = Math.ceil(look.from / step); i * step <= look.to; i++) {
      const x = atX(i * step);
      pen.fillStyle = RULE;
      pen.fillRect(x, AXIS - 5, 1, mapTop - AXIS - 4);
      pen.fillStyle = SOFT;
      const text = axisText(i * step, step);
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(x, GUTTER + half), width - half), 10);
    }
  }
  // All labels of an axis have the same unit.
  function axisText(tick, step) {
    const size = step * us;
    const [factor, name] = size >= 2e5 ? [1e-6, "s"] : size >= 100 ? [1e-3, "ms"] : size >= 0.1 ? [1, "µs"] : [1e3, "ns"];
    const decimals = Math.max(0, -Math.floor(Math.log10(step * us * factor) + 1e-9));
    return `${(tick * us * factor).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })} ${name}`;
  }

  function drawUnit(unit, row) {
    const top = rowTop(row);
    pen.textAlign = "right";
    pen.fillStyle = INK;
    pen.fillText(unit.name, GUTTER - 10, top + ROW / 2);
    pen.fillStyle = GROUND;
    pen.fillRect(GUTTER, top, plot(), ROW);
    instructions(unit, top, ROW, GUTTER, plot(), look.from, look.to, true);
  }

  // What is thinner than a pixel is added up: a column shows the layer that has most of it, as dense
  // as the unit is busy.
  function instructions(unit, top, tall, left, size, first, last, names) {
    const scale = size / (last - first);
    const column = new Map();
    let pixel = -1;
    const flush = () => {
      if (!column.size) return;
      let total = 0, most = -1, layer = 0;
      for (const [key, part] of column) {
        total += part;
        if (part > most) { most = part; layer = key; }
      }
      pen.globalAlpha = Math.min(1, total) * shade(layer);
      pen.fillStyle = PALETTE[layer % PALETTE.length][0];
      pen.fillRect(left + pixel, top, 1, tall);
      column.clear();
    };
    const count = unit.start.length;
    for (let i = above(unit.end, first); i < count && unit.start[i] < last; i++) {
      const layer = unit.layer[i];
      const a = Math.max(0, (unit.start[i] - first) * scale);
      const b = Math.min(size, (unit.end[i] - first) * scale);
      const work = Math.min(b, Math.max(a, (unit.start[i] + unit.wait[i] - first) * scale));
      if (b - a < 1.5) {
        // Not more than two columns.
        for (let at = Math.floor(work); at <= Math.floor(b) && at < size; at++) {
          if (at !== pixel) { flush(); pixel = at; }
          const part = Math.min(b, at + 1) - Math.max(work, at);
          column.set(layer, (column.get(layer) || 0) + part);
        }
        continue;
      }
      flush();
      const [colour, ink] = PALETTE[layer % PALETTE.length];
      pen.fillStyle = colour;
      pen.globalAlpha = 0.25 * shade(layer);
      pen.fillRect(left + a, top, work - a, tall);
      pen.globalAlpha = shade(layer);
      pen.fillRect(left + work, top, Math.max(0.5, b - work - (b - a > 5 ? 0.7 : 0)), tall);
      if (!names) continue;
      const pale = work - a > b - work;
      if (pale && work - a > 46) name(data.layers[layer], left + a, top, work - a, INK);
      if (!pale && b - work > 46) name(data.layers[layer], left + work, top, b - work, ink);
    }
    flush();
    pen.globalAlpha = 1;
  }
  const shade = (layer) => (look.marked < 0 || look.marked === layer ? 1 : 0.15);

  // The end of a layer's name says more than its beginning.
  function name(text, x, top, room, ink) {
    const letters = Math.floor((room - 8) / 6.8);
    const short = text.length <= letters ? text : "…" + text.slice(text.length - letters + 1);
    pen.save();
    pen.beginPath();
    pen.rect(x, top, room - 2, ROW);
    pen.clip();
    pen.globalAlpha = 1;
    pen.fillStyle = ink;
    pen.textAlign = "left";
    pen.fillText(short, x + 4, top + ROW / 2 + 0.5);
    pen.restore();
  }

  // Dark up to the least of what a pixel's time has, pale up to the most.
  function drawMemory(memory, row) {
    const top = memoryTop(row), bottom = top + MEMORY;
    const scale = MEMORY / memory.size;
    pen.fillStyle = GROUND;
    pen.fillRect(GUTTER, top, plot(), MEMORY);
    const step = (look.to - look.from) / plot();
    let i = above(memory.time, look.from), value = i ? memory.live[i - 1] : 0;
    for (let pixel = 0; pixel < plot(); pixel++) {
      let least = value, most = value;
      const end = look.from + (pixel + 1) * step;
      for (; i < memory.time.length && memory.time[i] <= end; i++) {
        value = memory.live[i];
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
      pen.fillStyle = "#9fc5e0";
      pen.fillRect(GUTTER + pixel, bottom - most * scale, 1, most * scale);
      pen.fillStyle = "#4a8fbd";
      pen.fillRect(GUTTER + pixel, bottom - least * scale, 1, least * scale);
    }
    pen.fillStyle = INK;
    pen.fillRect(GUTTER, top, plot(), 1);
    pen.textAlign = "right";
    pen.fillText(memory.name, GUTTER - 10, top + MEMORY / 2);
    pen.fillStyle = SOFT;
    pen.fillText(memoryText(memory.size), GUTTER - 10, top + 6);
    pen.fillText("0", GUTTER - 10, bottom - 6);
  }

  // All instructions in small: drawn once, since only the frame moves.
  let mapShown = "", mapPicture = null;
  const mapPlace = () => Math.floor(mapTop * (window.devicePixelRatio || 1));
  function drawMap() {
    const tall = MAP / units.length;
    const shown = [canvas.width, canvas.height, look.marked].join();
    if (shown === mapShown) pen.putImageData(mapPicture, 0, mapPlace());
    else {
      units.forEach((unit, row) => instructions(unit, mapTop + row * tall, Math.max(1, tall - 1), GUTTER, plot(), 0, whole, false));
      mapPicture = pen.getImageData(0, mapPlace(), canvas.width, canvas.height - mapPlace());
      mapShown = shown;
    }
    pen.textAlign = "right";
    pen.fillStyle = SOFT;
    pen.fillText("whole run", GUTTER - 10, mapTop + MAP / 2);
    const a = GUTTER + look.from / whole * plot(), b = GUTTER + look.to / whole * plot();
    pen.fillStyle = "#ffffffb0";
    pen.fillRect(GUTTER, mapTop, a - GUTTER, MAP);
    pen.fillRect(b, mapTop, GUTTER + plot() - b, MAP);
    pen.strokeStyle = INK;
    pen.strokeRect(a + 0.5, mapTop + 0.5, Math.max(2, b - a - 1), MAP);
  }

  // What lies under a place: {unit, i} or {memory, i}.
  function hit(x, y) {
    const tick = atTick(x);
    if (x < GUTTER || tick > look.to) return null;
    for (let row = 0; row < units.length; row++) {
      if (y < rowTop(row) || y >= rowTop(row) + ROW) continue;
      const unit = units[row], slack = 2 * (look.to - look.from) / plot();
      const i = Math.min(above(unit.end, tick), unit.end.length - 1);
      const near = i > 0 && tick - unit.end[i - 1] < unit.start[i] - tick ? i - 1 : i;
      if (tick < unit.start[near] - slack || tick > unit.end[near] + slack) return null;
      return { unit, i: near };
    }
    const row = memories.findIndex((_, r) => y >= memoryTop(r) && y < memoryTop(r) + MEMORY);
    return row < 0 ? null : { memory: memories[row], i: above(memories[row].time, tick) - 1, tick };
  }

  function story({ unit, memory, i, tick }) {
    if (memory) {
      const live = i < 0 ? 0 : memory.live[i];
      return `${memory.name} at ${timeText(tick * us, (look.to - look.from) * us)}\n${live.toLocaleString("en-US")} bytes live\n` +
        `${(100 * live / memory.size).toFixed(1)} % of the program's ${memoryText(memory.size)}`;
    }
    const length = unit.length[i], wait = unit.wait[i], amount = unit.amount[i];
    const seconds = (length - wait) * data.tick;
    const [first, last] = [unit.start[i], unit.end[i]].map((place) => timeText(place * us, length * us));
    const lines = [
      data.layers[unit.layer[i]],
      `${data.ops[unit.op[i]]}, instruction ${unit.index[i]}, ${unit.name} unit`,
      `${first} to ${last}: ${timeText(length * us)}`,
    ];
    if (wait) lines.push(`${timeText(wait * us)} of it waiting for the bus`);
    const kind = unit.name === "tensor" ? "MAC" : "B";
    if (amount) lines.push(`${amountText(amount, kind)}${seconds ? `, ${amountText(amount / seconds, kind)}/s` : ""}`);
    return lines.join("\n");
  }

  return { look, whole, us, mapTop, draw, caption, hit, story, plot, atTick, toMap: (x) => (x - GUTTER) / plot() * whole };
}
