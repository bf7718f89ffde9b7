// The document of the page, unpacked: runs, rows (one a run and image), curves, costs to targets.

const TYPES = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (character) => character.charCodeAt(0));
  return new TYPES[packed.type](bytes.buffer);
}

function words(packed) {
  return Array.from(unpack(packed.codes), (code) => packed.labels[code]);
}

function build(raw) {
  const columns = Object.fromEntries(Object.entries(raw.runs.dimensions).map(([name, packed]) => [name, words(packed)]));
  const statuses = words(raw.runs.status);
  const counts = unpack(raw.runs.images);
  const configs = Object.entries(raw.configs).map(([key, packed]) => [key, words(packed)]);
  let first = 0;
  const runs = raw.runs.id.map((id, i) => {
    const settings = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[i]]));
    const run = { index: i, id, status: statuses[i], command: raw.runs.command[i], settings, first, count: counts[i] };
    run.config = () => Object.fromEntries(configs.map(([key, texts]) => [key, JSON.parse(texts[i])]));
    first += counts[i];
    return run;
  });
  const images = words(raw.rows.image);
  const ends = words(raw.rows.status);
  const objective = unpack(raw.rows.problem);
  const measurement = unpack(raw.rows.measurement);
  const numbers = Object.fromEntries(Object.entries(raw.rows.numbers).map(([name, packed]) => [name, unpack(packed)]));
  const rows = runs.flatMap((run) =>
    Array.from({ length: run.count }, (_, k) => {
      const i = run.first + k;
      return { index: i, run, image: images[i], status: ends[i], objective: objective[i], measurement: measurement[i] };
    }),
  );
  const curves = { columns: raw.curves.columns, means: blocks(raw.curves.means, () => 1, raw.curves.columns.length) };
  curves.images = blocks(raw.curves.images, (i) => counts[i], raw.curves.columns.length);
  const cost = unpack(raw.targets.cost);
  const costAt = (target, axis, row) => cost[(target * raw.targets.axes.length + axis) * rows.length + row];
  return { raw, runs, rows, numbers, curves, targets: raw.targets, costAt };
}

// For each run its iterations and, for one or all of its images, a value of every column at each of them.
function blocks(packed, count, width) {
  const points = unpack(packed.points);
  const data = unpack(packed.data);
  let at = 0;
  return Array.from(points, (length, i) => {
    if (!length) return null;
    const take = () => data.subarray(at, (at += length));
    const iteration = take();
    const curves = Array.from({ length: count(i) }, () => Array.from({ length: width }, take));
    return { iteration, curves };
  });
}

// How runs are told apart in figures and tables.
const KEYS = [
  ["formulation,phi,solver,start", "formulation, φ, solver and start"],
  ["formulation,solver", "formulation and solver"],
  ["solver", "solver"],
  ["start", "start"],
  ["formulation", "formulation"],
  ["phi", "φ"],
  ["lam_given", "λ"],
  ["prior", "prior"],
  ["task", "task"],
];
const nameOf = (run, key) => key.split(",").map((name) => run.settings[name]).filter(Boolean).join(" · ");
const taskOf = (run) => [run.settings.task, run.settings.operator, `σ = ${run.settings.sigma}`].filter(Boolean).join(", ");

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(item);
  }
  return groups;
}
