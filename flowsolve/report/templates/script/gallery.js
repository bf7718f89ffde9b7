// Pictures of a problem with their error maps, and a closer look at one of them.

const ERROR_RANGES = [["0.05", "0.05"], ["0.1", "0.1"], ["0.2", "0.2"], ["0.5", "0.5"]];
const decoded = new Map();

function picture(number) {
  if (!decoded.has(number)) {
    const image = new Image();
    image.src = `data:image/webp;base64,${model.raw.gallery.pictures[number]}`;
    decoded.set(number, image.decode().then(() => image));
  }
  return decoded.get(number);
}

// Mean absolute error of the channels in the colours of the map.
async function errorMap(canvas, truth, restored, range) {
  const [a, b] = await Promise.all([truth, restored].map(picture));
  const pixels = [a, b].map((image) => {
    const sheet = el("canvas", { width: image.naturalWidth, height: image.naturalHeight }).getContext("2d");
    sheet.drawImage(image, 0, 0);
    return sheet.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
  });
  const colours = unpack(model.raw.gallery.colours);
  const out = new ImageData(pixels[0].width, pixels[0].height);
  for (let i = 0; i < out.data.length; i += 4) {
    let error = 0;
    for (let c = 0; c < 3; c++) error += Math.abs(pixels[0].data[i + c] - pixels[1].data[i + c]) / 765;
    const place = 3 * Math.min(255, Math.round((255 * error) / range));
    out.data.set([colours[place], colours[place + 1], colours[place + 2], 255], i);
  }
  canvas.width = out.width;
  canvas.height = out.height;
  canvas.getContext("2d").putImageData(out, 0, 0);
}

function drawGallery() {
  const problems = model.raw.gallery.problems;
  const place = $("gallery-pictures");
  if (!problems.length) {
    place.replaceChildren(el("p", { class: "empty" }, "No pictures."));
    return;
  }
  const problem = problems[Number($("gallery-problem").value)];
  const restored = unpack(problem.restored);
  const shownRows = Array.from(unpack(problem.rows), (row, i) => ({ row: model.rows[row], number: restored[i] })).filter(({ row }) => visible(row.run));
  const psnr = ({ row }) => model.numbers.psnr[row.index];
  shownRows.sort($("gallery-sort").value === "psnr" ? (a, b) => psnr(b) - psnr(a) : (a, b) => a.row.index - b.row.index);
  const errors = $("gallery-errors").checked && problem.truth !== null;
  const known = [["truth", problem.truth], ["measured", problem.measured]].filter(([, number]) => number !== null);
  const cards = shownRows.map(({ row, number }) => {
    const settings = nameOf(row.run, KEYS[0][0]);
    return card(`${shown(Number(psnr({ row }).toFixed(2)))} dB`, settings, number, errors ? problem.truth : null);
  });
  place.replaceChildren(
    el("div", { class: "pictures reference" }, ...known.map(([name, number]) => card(name, problem.image, number, null))),
    el("div", { class: errors ? "pictures with-errors" : "pictures" }, ...cards),
  );
  drawScale(errors);
  $("gallery-note").textContent = `${cards.length} of ${restored.length} restorations of ${problem.image}, ${problem.task} (${problem.detail}).` +
    (model.raw.gallery.left_out ? ` ${model.raw.gallery.left_out} more problems have no pictures here: there was no room.` : "");
}

// The colours of errors, with the numbers at their ends.
function drawScale(errors) {
  const canvas = el("canvas", { width: 256, height: 1, role: "img", "aria-label": "colours of errors, from none to the largest" });
  const colours = unpack(model.raw.gallery.colours);
  const line = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) line.data.set([...colours.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  canvas.getContext("2d").putImageData(line, 0, 0);
  $("gallery-scale").replaceChildren(...(errors ? ["0", canvas, `${$("gallery-range").value} mean absolute error`] : []));
}

function card(strong, text, number, truth) {
  const image = el("img", { alt: `${strong}, ${text}`, src: `data:image/webp;base64,${model.raw.gallery.pictures[number]}` });
  const pair = el("div", { class: truth === null ? "pair" : "pair with-error" }, image);
  if (truth !== null) {
    const canvas = el("canvas", { role: "img", "aria-label": `error of ${text}` });
    errorMap(canvas, truth, number, Number($("gallery-range").value));
    pair.append(canvas);
  }
  const open = () => enlarge(`${strong}, ${text}`, number, truth);
  return el("figure", { class: "picture" }, el("button", { type: "button", "aria-label": `Enlarge ${strong}, ${text}`, onclick: open }, pair),
    el("figcaption", {}, el("strong", {}, strong), ` ${text}`));
}

function enlarge(title, number, truth) {
  $("lightbox-title").textContent = title;
  const source = (which) => `data:image/webp;base64,${model.raw.gallery.pictures[which]}`;
  const views = [["", el("img", { alt: title, src: source(number) })]];
  if (truth !== null) {
    views[0][0] = "restored";
    views.push(["truth", el("img", { alt: "truth", src: source(truth) })]);
    const canvas = el("canvas", { role: "img", "aria-label": "error" });
    errorMap(canvas, truth, number, Number($("gallery-range").value)).then(zoom);
    views.push([`error, up to ${$("gallery-range").value}`, canvas]);
  }
  $("lightbox-pictures").replaceChildren(...views.map(([name, view]) => el("figure", {}, view, name ? el("figcaption", {}, name) : null)));
  $("lightbox").showModal();
  picture(number).then((image) => {
    $("lightbox-zoom").value = String(Math.max(1, Math.min(16, Math.floor(360 / image.naturalWidth))));
    zoom();
  });
}

function zoom() {
  const factor = Number($("lightbox-zoom").value);
  $("lightbox-factor").textContent = `${factor}×`;
  for (const view of $("lightbox-pictures").querySelectorAll("img, canvas")) view.style.width = `${factor * (view.naturalWidth ?? view.width)}px`;
}
