"use strict";
// The time line's wheel, pointer, keys, buttons and address.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const box = document.getElementById("timeline");
  const canvas = box.querySelector("canvas");
  const tip = document.getElementById("tip");
  const output = document.querySelector(".tools output");
  const drawing = makeDrawing(data, box, canvas);
  const { look, whole, us, mapTop, plot, atTick } = drawing;
  const SMALLEST = Math.min(whole, 20); // ticks that may fill the window

  function view(a, b, keep) {
    const length = Math.min(whole, Math.max(SMALLEST, b - a));
    const middle = (a + b) / 2;
    look.from = Math.min(Math.max(0, middle - length / 2), whole - length);
    look.to = look.from + length;
    output.textContent = drawing.caption();
    if (!keep) remember();
    redraw();
  }
  function zoom(factor, tick) {
    const length = Math.min(whole, Math.max(SMALLEST, (look.to - look.from) * factor));
    const share = (tick - look.from) / (look.to - look.from);
    view(tick - share * length, tick + (1 - share) * length);
  }
  const move = (share) => { const d = share * (look.to - look.from); view(look.from + d, look.to + d); };

  let timer = 0;
  function remember() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const all = look.to - look.from >= whole;
      const hash = all ? "#" : `#t=${(look.from * us).toFixed(4)}-${(look.to * us).toFixed(4)}`;
      try { history.replaceState(null, "", hash); } catch { /* some viewers forbid it */ }
    }, 150);
  }
  function recall(scroll) {
    const found = /^#t=([\d.]+)-([\d.]+)$/.exec(location.hash);
    if (!found) return;
    const [a, b] = [Number(found[1]) / us, Number(found[2]) / us];
    if (!(b >= a)) return;
    view(a, b, true);
    if (scroll) document.getElementById("time").scrollIntoView({ block: "start" });
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawing.draw(); });
  }

  function showTip() {
    const found = look.pointer && !drag && drawing.hit(look.pointer.x, look.pointer.y);
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = drawing.story(found);
    const x = look.pointer.x + 14 + tip.offsetWidth > box.clientWidth ? look.pointer.x - 14 - tip.offsetWidth : look.pointer.x + 14;
    tip.style.left = `${Math.max(0, x)}px`;
    tip.style.top = `${look.pointer.y + 16}px`;
  }

  let drag = null;
  const place = (event) => {
    const edge = canvas.getBoundingClientRect();
    return { x: event.clientX - edge.left, y: event.clientY - edge.top };
  };
  const mapCentre = (x) => {
    const middle = drawing.toMap(x), half = (look.to - look.from) / 2;
    view(middle - half, middle + half);
  };
  canvas.addEventListener("pointerdown", (event) => {
    const { x, y } = place(event);
    canvas.setPointerCapture(event.pointerId);
    drag = { x, from: look.from, to: look.to, map: y >= mapTop, moved: false };
    if (drag.map) mapCentre(x);
  });
  canvas.addEventListener("pointermove", (event) => {
    look.pointer = place(event);
    if (drag && drag.map) mapCentre(look.pointer.x);
    else if (drag) {
      drag.moved = drag.moved || Math.abs(look.pointer.x - drag.x) > 3;
      const shift = (drag.x - look.pointer.x) / plot() * (drag.to - drag.from);
      if (drag.moved) view(drag.from + shift, drag.to + shift);
    }
    showTip();
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const { x, y } = place(event);
    if (drag && !drag.map && !drag.moved) {
      const found = drawing.hit(x, y);
      const layer = found && found.unit ? found.unit.layer[found.i] : -1;
      look.marked = layer === look.marked ? -1 : layer;
    }
    drag = null;
    redraw();
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { look.pointer = null; showTip(); redraw(); });
  canvas.addEventListener("wheel", (event) => {
    // With the whole run in view, scrolling away scrolls the page.
    if (!event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) {
      if (event.deltaY > 0 && look.to - look.from >= whole) return;
      zoom(Math.exp(Math.max(-0.6, Math.min(0.6, event.deltaY * 0.002))), atTick(place(event).x));
    } else move((event.deltaX || event.deltaY) / plot());
    event.preventDefault();
    showTip();
  }, { passive: false });

  const actions = {
    in: () => zoom(0.5, (look.from + look.to) / 2),
    out: () => zoom(2, (look.from + look.to) / 2),
    left: () => move(-0.25),
    right: () => move(0.25),
    all: () => { look.marked = -1; view(0, whole); },
  };
  const keys = {
    "+": "in", "=": "in", ArrowUp: "in", "-": "out", ArrowDown: "out",
    ArrowLeft: "left", ArrowRight: "right", 0: "all", Home: "all", Escape: "all",
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    actions[keys[event.key]]();
    event.preventDefault();
  });
  for (const button of document.querySelectorAll(".tools button")) {
    button.addEventListener("click", actions[button.dataset.do]);
  }
  window.addEventListener("hashchange", () => recall(true));
  new ResizeObserver(redraw).observe(box);
  view(0, whole, true);
  recall(false);
  drawing.draw();
})();
