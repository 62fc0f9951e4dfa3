"use strict";
// The table of layers: sorting by a column, showing only some rows.
(() => {
  const table = document.getElementById("layers");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);

  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  }

  // Numbers begin with the largest, names with A; a third click brings back the program's order.
  function sort(column) {
    const head = heads[column];
    const numeric = rows.length > 0 && typeof key(rows[0], column) === "number";
    const turns = numeric ? ["descending", "ascending", ""] : ["ascending", "descending", ""];
    const now = turns[(turns.indexOf(head.getAttribute("aria-sort") || "") + 1) % 3];
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    let sorted = rows;
    if (now) {
      head.setAttribute("aria-sort", now);
      const sign = now === "ascending" ? 1 : -1;
      const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
      sorted = rows.slice().sort((a, b) => sign * compare(key(a, column), key(b, column)));
    }
    body.append(...sorted);
  }
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));

  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = [0, 1, 5].map((column) => row.cells[column].textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = words.length ? `${count} of ${rows.length}` : "";
  }
  filter.addEventListener("input", show);
  show(); // a browser may bring back what was typed
})();
