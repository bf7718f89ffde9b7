// Figures: profiles, convergence curves, image against objective.

const AXIS_LABELS = { iterations: "iterations", evaluations: "evaluations of F", flow: "passes through the network", seconds: "seconds" };
const VERTICAL = { gap: "F − lowest F found", psnr: "PSNR, dB", data_fidelity: "data fidelity", grad_norm: "gradient norm" };

// Named one by one: Plotly's own choice has one that sends the figure to a server.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];

function plot(id, traces, x, y, extra = {}) {
  const target = $(id);
  drawLegend(target, traces);
  if (!traces.length) {
    Plotly.purge(target);
    target.replaceChildren(el("p", { class: "empty" }, "Nothing to show for these filters."));
    return;
  }
  target.querySelector(".empty")?.remove();
  const axis = (a) => ({ gridcolor: css("--grid"), zerolinecolor: css("--line"), automargin: true, exponentformat: "power", ...a });
  const layout = {
    margin: { l: 60, r: 12, t: 12, b: 46 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--ink"), size: 12 },
    showlegend: false,
    hoverlabel: { namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--accent") },
    xaxis: axis(x),
    yaxis: axis(y),
    ...extra,
  };
  Plotly.react(target, traces, layout, { responsive: true, displaylogo: false, modeBarButtons: BUTTONS, plotlyServerURL: "" });
}

// Names with their lines or marks below a figure: there they take no room from it, however many.
function drawLegend(target, traces) {
  let place = target.nextElementSibling;
  if (!place?.classList.contains("legend")) {
    place = el("div", { class: "legend", "aria-hidden": "true" });
    target.after(place);
  }
  const seen = new Map(traces.map((trace) => [trace.legendgroup ?? trace.name, trace]));
  place.replaceChildren(
    ...[...seen].map(([name, trace]) => {
      return el("span", {}, trace.marker ? dotMark(trace.marker.color) : lineMark(trace.line), trace.label ?? name);
    }),
  );
}

function dotMark(colour) {
  const mark = el("i", { class: "mark" });
  mark.style.color = colour;
  return mark;
}

function lineMark({ color, dash }) {
  const [svg, line] = ["svg", "line"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("class", "mark");
  const drawn = { x1: "0", x2: "100%", y1: "50%", y2: "50%", stroke: color, "stroke-width": "3", "stroke-dasharray": DASH_LENGTHS[dash] };
  for (const [name, value] of Object.entries(drawn)) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

// Costs of the methods on the problems where the target means something.
function costs() {
  const target = Number($("profile-target").value);
  const axis = Number($("profile-axis").value);
  const key = $("profile-key").value;
  const problemOf = model.targets.targets[target].objective ? "objective" : "measurement";
  const methods = new Set();
  const problems = new Map();
  for (const row of visibleRows()) {
    const cost = model.costAt(target, axis, row.index);
    if (Number.isNaN(cost)) continue;
    const name = nameOf(row.run, key);
    methods.add(name);
    if (!problems.has(row[problemOf])) problems.set(row[problemOf], new Map());
    const own = problems.get(row[problemOf]);
    if (!own.has(name)) own.set(name, []);
    own.get(name).push(cost);
  }
  const table = [...problems.values()].map((own) => new Map([...own].map(([name, found]) => [name, median(found)])));
  return { methods: [...methods], table, axis: model.targets.axes[axis] };
}

// Shares of the problems that are solved at each cost, from the least cost of any method to the largest.
function steps(values, total, [least, most]) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return { x: [least, ...sorted, most], y: [0, ...sorted.map((_, i) => (i + 1) / total), sorted.length / total] };
}

function drawProfiles() {
  const { methods, table, axis } = costs();
  // A method is judged on the problems it was tried on, by the best of all on each.
  const best = table.map((own) => Math.min(...own.values()));
  const tried = methods.map((name) => table.map((own, p) => [own.get(name), best[p]]).filter(([cost, least]) => cost !== undefined && Number.isFinite(least)));
  // A line along the bottom says less than a number: such methods are counted in the note.
  const solving = methods.filter((_, i) => tried[i].some(([cost]) => Number.isFinite(cost)));
  const traces = (value, start) => {
    const values = tried.map((pairs) => pairs.map(([cost, least]) => value(cost, least)));
    const found = values.flat().filter(Number.isFinite);
    const ends = [start ?? Math.min(...found) / 1.1, Math.max(...found) * 1.1];
    return solving.map((name, i) => {
      const own = values[methods.indexOf(name)];
      return { ...steps(own, own.length, ends), name: plain(name), label: name, mode: "lines", line: { ...lineOf(i), shape: "hv" } };
    });
  };
  const share = { title: { text: "share of problems" }, range: [0, 1.03] };
  plot("performance", traces((cost, least) => Math.max(cost, 1e-12) / Math.max(least, 1e-12), 1), { type: "log", title: { text: "cost / least cost of any method" } }, share);
  plot("data-profile", traces((cost) => Math.max(cost, 1e-12)), { type: "log", title: { text: AXIS_LABELS[axis] } }, share);
  $("profile-note").textContent =
    `${table.length} problems. ` +
    (solving.length < methods.length ? `${methods.length - solving.length} of ${methods.length} methods never reach the target. ` : "") +
    `Left: Dolan & Moré, 2002; right: Moré & Wild, 2009. Where a method ran several times on a problem, its median cost counts.`;
}

function drawCurves() {
  const { columns, means, images } = model.curves;
  const [x, y, key] = [$("curve-x").value, $("curve-y").value, $("curve-key").value];
  const byImage = $("curve-group").value === "images";
  const runs = visibleRuns().filter((run) => taskOf(run) === $("curve-task").value);
  const names = [...new Set(runs.map((run) => nameOf(run, key)))];
  const traces = [];
  for (const run of runs) {
    const block = byImage ? images[run.index] ?? means[run.index] : means[run.index];
    if (!block) continue;
    const name = nameOf(run, key);
    block.curves.forEach((curve, k) => {
      const pick = (column) => Array.from(column === "iterations" ? block.iteration : curve[columns.indexOf(column)]);
      const title = byImage && block.curves.length > 1 ? model.rows[run.first + k].image : run.id;
      const text = plain(`${title}`);
      traces.push({ x: pick(x), y: pick(y), name: plain(name), legendgroup: name, mode: "lines", line: lineOf(names.indexOf(name)), opacity: 0.85, hovertemplate: `%{x:.4g}, %{y:.5g}<br>${text}` });
    });
  }
  const scale = (id) => ($(id).checked ? "log" : "linear");
  plot("curves", traces, { type: scale("curve-x-log"), title: { text: AXIS_LABELS[x] } }, { type: scale("curve-y-log"), title: { text: VERTICAL[y] } });
  $("curve-note").textContent = `${traces.length} curves${byImage ? ", one for each image where there was room" : ", means over images"}; thinned to at most ${model.raw.points} points, the best kept.`;
}

function drawScatter() {
  const key = $("scatter-key").value;
  const rows = visibleRows().filter((row) => taskOf(row.run) === $("scatter-task").value);
  const lowest = new Map();
  for (const row of rows) lowest.set(row.objective, Math.min(lowest.get(row.objective) ?? Infinity, model.numbers.value[row.index]));
  const groups = [...groupBy(rows, (row) => nameOf(row.run, key))];
  const traces = groups.map(([name, own], i) => ({
    x: own.map((row) => model.numbers.value[row.index] - lowest.get(row.objective)),
    y: own.map((row) => model.numbers.psnr[row.index]),
    text: own.map((row) => plain(`${row.image}, ${row.run.id}`)),
    name: plain(name), label: name, mode: "markers", hovertemplate: "%{x:.4g}, %{y:.2f} dB<br>%{text}",
    marker: { color: COLOURS[i % COLOURS.length], size: 8 },
  }));
  plot("scatter", rows.length ? traces : [], { type: "log", title: { text: VERTICAL.gap } }, { title: { text: VERTICAL.psnr } });
}
