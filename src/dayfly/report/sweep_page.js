"use strict";
(() => {
  const table = document.querySelector("table.points");
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.v;
    return number === undefined ? cell.textContent.trim() : Number(number);
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  const missing = (value) => value === "" || Number.isNaN(value);
  for (const heading of table ? table.tHead.rows[0].cells : []) {
    heading.querySelector("button").addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = Array.from(body.rows, (row) => [valueOf(row, heading.cellIndex), row]);
      rows.sort(([a], [b]) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        return descending ? compare(b, a) : compare(a, b);
      });
      body.append(...rows.map(([, row]) => row));
    });
  }
  const close = () => document.querySelectorAll("figure.large").forEach((one) => one.classList.remove("large"));
  for (const button of document.querySelectorAll("figure button")) {
    button.addEventListener("click", () => {
      const figure = button.closest("figure");
      const opened = figure.classList.contains("large");
      close();
      figure.classList.toggle("large", !opened);
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
})();
