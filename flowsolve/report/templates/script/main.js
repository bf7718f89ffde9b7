// The page: controls, drawing, and newer data from the server it came from.

let model = build(JSON.parse($("report-data").textContent));

// Names that a figure tells apart: more make a legend that is longer than the figure.
const READABLE = 12;

function draw() {
  drawFilters();
  drawOverview();
  drawProfiles();
  drawCurves();
  drawScatter();
  drawGallery();
  drawTable();
}

// Choices that depend on the data; what was chosen stays where it still exists.
function fillControls() {
  const kept = (id, pairs) => (pairs.some(([value]) => value === $(id).value) ? $(id).value : pairs[0]?.[0] ?? "");
  const tasks = [...new Set(model.runs.map(taskOf))].map((task) => [task, task]);
  choices("curve-task", tasks, kept("curve-task", tasks), drawCurves);
  choices("scatter-task", tasks, kept("scatter-task", tasks), drawScatter);
  const targets = model.targets.targets.map(({ label }, i) => [String(i), label]);
  choices("profile-target", targets, $("profile-target").value || "1", drawProfiles);
  const axes = model.targets.axes.map((name, i) => [String(i), AXIS_LABELS[name]]);
  choices("profile-axis", axes, $("profile-axis").value || "1", drawProfiles);
  const problems = model.raw.gallery.problems.map((p, i) => [String(i), `${p.task}, ${p.detail}: ${p.image}`]);
  choices("gallery-problem", problems, kept("gallery-problem", problems), drawGallery);
  $("colophon").textContent = `flowsolve ${model.raw.version}, ${model.raw.created}`;
}

// The first way of telling runs apart that does not need more lines than a figure can show.
function usualKey() {
  const names = (key) => new Set(model.runs.map((run) => nameOf(run, key))).size;
  return (KEYS.find(([key]) => names(key) <= READABLE) ?? KEYS[0])[0];
}

function controls() {
  const further = furtherMetrics().map(([name, label]) => [name, label]);
  choices("matrix-metric", [...METRICS.map(([name, label]) => [name, label]), ...further], "psnr", drawOverview);
  choices("matrix-key", KEYS, KEYS[0][0], drawOverview);
  choices("profile-key", KEYS, KEYS[0][0], drawProfiles);
  choices("curve-x", Object.entries(AXIS_LABELS), "evaluations", drawCurves);
  for (const [name, label] of further) VERTICAL[name] = label;
  const linear = new Set(["psnr", ...further.map(([name]) => name)]);
  choices("curve-y", Object.entries(VERTICAL), "gap", () => {
    $("curve-y-log").checked = !linear.has($("curve-y").value);
    drawCurves();
  });
  choices("curve-key", KEYS, usualKey(), drawCurves);
  choices("curve-group", [["means", "mean of each run"], ["images", "each image"]], "means", drawCurves);
  choices("scatter-key", KEYS, usualKey(), drawScatter);
  choices("gallery-sort", [["psnr", "PSNR"], ["order", "order of the runs"]], "psnr", drawGallery);
  choices("gallery-range", ERROR_RANGES, "0.2", drawGallery);
  choices("table-mode", [["runs", "runs"], ["images", "images"]], "runs", drawTable);
  for (const id of ["curve-x-log", "curve-y-log"]) $(id).onchange = drawCurves;
  $("gallery-errors").onchange = drawGallery;
  const turn = (by) => () => {
    const select = $("gallery-problem");
    select.selectedIndex = (select.selectedIndex + by + select.length) % select.length;
    drawGallery();
  };
  $("gallery-previous").onclick = turn(-1);
  $("gallery-next").onclick = turn(1);
  $("table-search").oninput = drawTable;
  $("table-csv").onclick = saveTable;
  $("filter-reset").onclick = resetFilters;
  $("lightbox-zoom").oninput = zoom;
  for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
  $("filters").open = matchMedia("(min-width: 901px)").matches;
  $("theme").onclick = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    applyTheme();
    draw();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { applyTheme(); draw(); });
}

// A page that a server sent asks it now and then whether there is something new.
async function follow() {
  try {
    const answer = await fetch("data.json", { headers: { "If-None-Match": `"${model.raw.stamp}"` } });
    if (answer.status === 200) {
      model = build(await answer.json());
      decoded.clear();
      fillControls();
      draw();
    }
    $("live").textContent = `Live: ${model.raw.waiting} cells waiting`;
  } catch {
    $("live").textContent = "The server has gone";
  }
}

applyTheme();
controls();
fillControls();
draw();
if ($("live")) setInterval(follow, 5000);
document.documentElement.dataset.ready = "true";
