// Counts, answers in words, and the table of methods by task.

const METRICS = [
  ["psnr", "PSNR of the best iterate, dB", true],
  ["value", "lowest F", false],
  ["evaluations", "evaluations", false],
  ["seconds", "seconds", false],
];

// Those of the runs beside PSNR.
function furtherMetrics() {
  return model.raw.metrics.map(({ name, unit, better }) => [name, unit ? `${name}, ${unit}` : name, better === "higher"]);
}

function drawOverview() {
  const runs = visibleRuns();
  const rows = visibleRows();
  const tiles = [
    [runs.length, "runs"],
    [rows.length, "images restored"],
    [new Set(runs.map(taskOf)).size, "tasks"],
    [new Set(runs.map((run) => run.settings.solver)).size, "solvers"],
    [model.raw.failed.length, "cells failed"],
    [model.raw.waiting, "cells waiting"],
  ];
  $("tiles").replaceChildren(
    ...tiles.map(([count, label], i) =>
      el("div", { class: i === 4 && count ? "tile bad" : "tile" }, el("strong", {}, String(count)), el("span", {}, label)),
    ),
  );
  $("answers").replaceChildren(
    ...model.raw.answers.map(({ question, text }, i) =>
      el("details", { open: i === 0 }, el("summary", {}, question), ...text.split("\n").map(answerLine)),
    ),
  );
  $("answers-card").hidden = !model.raw.answers.length;
  drawMatrix(rows);
}

// A line of an answer: what it is about stands out, how it was found out does not.
function answerLine(line) {
  if (line.startsWith("(")) return el("p", { class: "quiet" }, line);
  const [about, ...rest] = line.split(": ");
  return rest.length ? el("p", {}, el("strong", {}, `${about}: `), rest.join(": ")) : el("p", {}, line);
}

function drawMatrix(rows) {
  const [metric, label, high] = [...METRICS, ...furtherMetrics()].find(([name]) => name === $("matrix-metric").value);
  const key = $("matrix-key").value;
  const tasks = [...new Set(rows.map((row) => taskOf(row.run)))];
  const values = groupBy(rows, (row) => `${taskOf(row.run)}\n${nameOf(row.run, key)}`);
  const methods = [...new Set(rows.map((row) => nameOf(row.run, key)))];
  const cell = (task, method) =>
    mean((values.get(`${task}\n${method}`) ?? []).map((row) => model.numbers[metric][row.index]).filter((value) => !Number.isNaN(value)));
  const best = tasks.map((task) => {
    const found = methods.map((method) => cell(task, method)).filter((value) => !Number.isNaN(value));
    return high ? Math.max(...found) : Math.min(...found);
  });
  const head = el("tr", {}, el("th", { scope: "col" }, "method"), ...tasks.map((task) => el("th", { scope: "col", class: "number" }, task)));
  const body = methods.map((method) =>
    el("tr", {}, el("th", { scope: "row" }, method), ...tasks.map((task, j) => {
      const value = cell(task, method);
      return el("td", { class: value === best[j] ? "number best" : "number" }, metric === "psnr" && Number.isFinite(value) ? value.toFixed(2) : shown(value));
    })),
  );
  $("matrix").replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
  $("matrix-note").textContent = `Means over images and starts of ${label}; the best of each task in bold.`;
}
