// Shows photo and map side by side and reads sigma at the pixel that is pointed at.
// `element`, `props` and `watch` come from gradio. `props.value` is what
// serving.web.results.viewer_value returns. Text goes in as textContent only.
const HINT = "Point at the photo or the map to read the blur there; or Tab to it and use the arrow keys.";
let shown = null; // the value, with `sigma`: Uint16Array of width x height, as soon as unpacked
let point = null; // pixel of the shown picture
const find = (selector) => element.querySelector(selector);

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const view = new DataView(await new Response(stream).arrayBuffer());
  return Uint16Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true));
}

function say(text) {
  find(".dm-readout").textContent = text;
}

function drawScale(value) {
  find(".dm-bar").style.background = `linear-gradient(to right, ${value.colours.join(", ")})`;
  const ticks = value.ticks.map((tick) => {
    const label = document.createElement("span");
    label.style.left = `${(100 * (tick - value.low_px)) / (value.high_px - value.low_px)}%`;
    label.textContent = `${tick}`;
    return label;
  });
  find(".dm-ticks").replaceChildren(...ticks);
  find(".dm-scale").setAttribute(
    "aria-label",
    `Scale of the map: dark ${value.low_px.toFixed(1)}, bright ${value.high_px.toFixed(1)} pixels`);
}

async function draw() {
  const value = props.value;
  const viewer = find(".dm-viewer");
  point = null;
  shown = null;
  viewer.dataset.state = value ? "shown" : "empty";
  delete viewer.dataset.serial;
  if (!value) return;
  find(".dm-photo").src = value.photo;
  find(".dm-map").src = value.map;
  for (const plane of element.querySelectorAll(".dm-plane")) {
    plane.style.aspectRatio = `${value.width} / ${value.height}`;
  }
  drawScale(value);
  moveMark();
  say(HINT);
  try {
    const sigma = await unpack(value.sigma);
    if (props.value !== value && props.value?.serial !== value.serial) return; // a later photo came
    shown = { ...value, sigma };
    viewer.dataset.serial = value.serial;
  } catch (error) {
    say("This browser cannot unpack the map's values, so they cannot be read here.");
    console.warn(error);
  }
}

function moveMark() {
  for (const mark of element.querySelectorAll(".dm-mark")) {
    mark.hidden = !point;
    if (!point) continue;
    mark.style.left = `${(100 * (point.x + 0.5)) / shown.width}%`;
    mark.style.top = `${(100 * (point.y + 0.5)) / shown.height}%`;
  }
}

function read(x, y) {
  if (!shown) return;
  x = Math.min(Math.max(x, 0), shown.width - 1);
  y = Math.min(Math.max(y, 0), shown.height - 1);
  point = { x, y };
  moveMark();
  const sigma = shown.sigma[y * shown.width + x] * shown.step_px;
  // The photo's own pixel whose value this is: `results.sampled` takes the same one.
  const column = Math.floor(((x + 0.5) * shown.photo_width) / shown.width);
  const row = Math.floor(((y + 0.5) * shown.photo_height) / shown.height);
  const word = sigma < shown.sharp_below_px ? shown.below : shown.above;
  const seen = shown.scale < 1 ? `, ${(sigma * shown.scale).toFixed(2)} px of what the network saw` : "";
  say(`sigma = ${sigma.toFixed(2)} px at pixel (${column}, ${row})${seen}: ${word}`);
}

function point_at(event) {
  const plane = event.target.closest?.(".dm-plane");
  if (!plane || !shown) return;
  const box = plane.getBoundingClientRect();
  read(
    Math.floor(((event.clientX - box.left) / box.width) * shown.width),
    Math.floor(((event.clientY - box.top) / box.height) * shown.height),
  );
}

element.addEventListener("pointermove", point_at);
element.addEventListener("pointerdown", point_at);
element.addEventListener("keydown", (event) => {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
    event.key
  ] ?? [0, 0];
  if (!shown || (!dx && !dy) || !event.target.closest(".dm-plane")) return;
  event.preventDefault();
  const stride = event.shiftKey ? 1 : Math.max(1, Math.round(shown.width / 50));
  const from = point ?? { x: shown.width >> 1, y: shown.height >> 1 };
  read(from.x + stride * dx, from.y + stride * dy);
});
watch("value", draw);
draw();
