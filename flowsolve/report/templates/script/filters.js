// Which runs are shown: for each setting that differs, chips that are switched on and off.

const FILTERED = ["task", "sigma", "prior", "formulation", "phi", "lam_given", "solver", "start", "seed"];
const hidden = Object.fromEntries(FILTERED.map((name) => [name, new Set()]));

const visible = (run) => FILTERED.every((name) => !hidden[name].has(run.settings[name]));
const visibleRuns = () => model.runs.filter(visible);
const visibleRows = () => model.rows.filter((row) => visible(row.run));

function drawFilters() {
  const groups = FILTERED.map((name) => [name, [...new Set(model.runs.map((run) => run.settings[name]))]]);
  $("filter-groups").replaceChildren(
    ...groups
      .filter(([, labels]) => labels.length > 1)
      .map(([name, labels]) =>
        el("fieldset", { "data-filter": name }, el("legend", {}, name === "lam_given" ? "λ" : name),
          el("div", { class: "chips" }, ...labels.map((label) => chip(name, label)))),
      ),
  );
  const count = visibleRuns().length;
  $("filter-count").textContent = `${count} of ${model.runs.length} runs`;
  $("announcement").textContent = `${count} of ${model.runs.length} runs shown`;
}

function chip(name, label) {
  const set = hidden[name];
  const toggle = (event) => {
    if (set.has(label)) set.delete(label);
    else set.add(label);
    const text = event.currentTarget.textContent;
    draw();
    // The chips were made anew: the keyboard stays where it was.
    [...document.querySelectorAll(`[data-filter="${name}"] .chip`)].find((c) => c.textContent === text)?.focus();
  };
  return el("button", { type: "button", class: "chip", "aria-pressed": String(!set.has(label)), onclick: toggle }, label);
}

function resetFilters() {
  for (const set of Object.values(hidden)) set.clear();
  draw();
}
