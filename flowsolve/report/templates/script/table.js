// Runs, or each of their images, as a table that sorts, searches and is saved as CSV; one run in detail.

const TEXTS = ["task", "operator", "sigma", "prior", "formulation", "phi", "lam_given", "solver", "start", "seed"];
// Numbers that most people look for.
const FIRST = ["psnr", "value", "evaluations", "seconds"];
const PAGE = 50;
const order = { column: "psnr", descending: true };
let page = 0;

function tableRows() {
  const rows = visibleRows();
  const names = Object.keys(model.numbers);
  const values = (own) => Object.fromEntries(names.map((name) => [name, mean(own.map((row) => model.numbers[name][row.index]).filter((v) => !Number.isNaN(v)))]));
  const records = $("table-mode").value === "images"
    ? rows.map((row) => ({ run: row.run, id: row.run.id, image: row.image, status: row.status, ...row.run.settings, ...values([row]) }))
    : [...groupBy(rows, (row) => row.run)].map(([run, own]) => ({ run, id: run.id, images: own.length, status: run.status, ...run.settings, ...values(own) }));
  const wanted = $("table-search").value.toLowerCase();
  const found = records.filter((record) => !wanted || Object.values(record).some((v) => typeof v === "string" && v.toLowerCase().includes(wanted)));
  const sign = order.descending ? -1 : 1;
  const last = (v) => v === undefined || Number.isNaN(v);
  return found.sort((a, b) => {
    const [p, q] = [a[order.column], b[order.column]];
    if (last(p) || last(q)) return last(p) - last(q);
    return sign * (typeof p === "number" ? p - q : String(p).localeCompare(String(q), "en", { numeric: true }));
  });
}

function tableColumns() {
  const differing = TEXTS.filter((name) => new Set(model.runs.map((run) => run.settings[name])).size > 1);
  const extra = $("table-mode").value === "images" ? ["image"] : ["images"];
  const rest = Object.keys(model.numbers).filter((name) => !FIRST.includes(name));
  return ["id", ...extra, ...FIRST, ...differing, "status", ...rest];
}

function drawTable() {
  const records = tableRows();
  const columns = tableColumns();
  page = Math.max(0, Math.min(page, Math.ceil(records.length / PAGE) - 1));
  const numeric = (name) => name in model.numbers || name === "images";
  const sort = (name) => () => {
    order.descending = order.column === name ? !order.descending : numeric(name);
    order.column = name;
    drawTable();
    $("table").querySelector(`[data-column="${name}"] button`).focus();
  };
  const direction = order.descending ? "descending" : "ascending";
  const head = columns.map((name) =>
    el("th", { scope: "col", "data-column": name, class: numeric(name) ? "number" : null, "aria-sort": name === order.column ? direction : "none" },
      el("button", { type: "button", onclick: sort(name) }, name)));
  const body = records.slice(page * PAGE, (page + 1) * PAGE).map((record) =>
    el("tr", {}, ...columns.map((name) =>
      name === "id"
        ? el("th", { scope: "row" }, el("button", { type: "button", class: "link cut", title: record.id, onclick: () => drawDetails(record.run) }, record.id))
        : el("td", { class: numeric(name) ? "number" : null }, shown(record[name])))));
  $("table").querySelector("thead").replaceChildren(el("tr", {}, ...head));
  $("table").querySelector("tbody").replaceChildren(...body);
  const turn = (by) => () => { page += by; drawTable(); };
  $("table-pages").replaceChildren(
    el("button", { type: "button", class: "button", disabled: page === 0, onclick: turn(-1) }, "Previous"),
    el("span", { class: "quiet" }, records.length ? `${page * PAGE + 1}–${Math.min((page + 1) * PAGE, records.length)} of ${records.length}` : "none"),
    el("button", { type: "button", class: "button", disabled: (page + 1) * PAGE >= records.length, onclick: turn(1) }, "Next"),
  );
  $("failures").replaceChildren(...model.raw.failed.map((cause) => el("p", { class: "notice" }, el("strong", {}, cause.cell), ` ${cause.error}: ${cause.message}`)));
}

function saveTable() {
  const columns = tableColumns();
  // A text that begins like a formula would be one in a spreadsheet.
  const text = (value) => `"${String(value).replace(/^[=+\-@\t]/, "'$&").replaceAll('"', '""')}"`;
  const cell = (value) => (typeof value === "number" ? (Number.isNaN(value) ? "" : Number.isFinite(value) ? String(value) : shown(value)) : text(value ?? ""));
  const lines = [columns.join(","), ...tableRows().map((record) => columns.map((name) => cell(record[name])).join(","))];
  download("runs.csv", "text/csv", `${lines.join("\n")}\n`);
}

function drawDetails(run) {
  const facts = Object.entries({ status: run.status, ...run.settings }).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value || "–")));
  $("details-title").textContent = run.id;
  $("details-body").replaceChildren(
    el("dl", { class: "facts" }, ...facts),
    el("h3", {}, "The command that repeats it"),
    el("div", { class: "command" }, el("code", {}, run.command)),
    el("h3", {}, "Configuration"),
    el("pre", { tabindex: "0" }, JSON.stringify(run.config(), null, 1)),
  );
  $("details").showModal();
}
