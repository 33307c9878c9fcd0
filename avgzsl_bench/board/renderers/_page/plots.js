// Small drawings of a row and of a key, as inline SVG. Text enters as text nodes only.

const SVG = document.getElementById("mark").namespaceURI;
const DRAWN = new Set(["svg", "g", "line", "path", "circle", "rect", "text", "title"]);

/** An element with attributes and children; `on` is what a click does, absent children are left out, strings stay text. */
function make(tag, attributes = {}, ...children) {
  const made = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") made.addEventListener("click", value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(2).filter((child) => ![null, undefined, false, ""].includes(child)));
  return made;
}

const known = (value) => value !== null && value !== undefined;
const fixed = (value, digits = 2) => (known(value) ? value.toFixed(digits).replace("-", "−") : "–");
const signed = (value) => (known(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2) : "–");
const between = ([low, high]) => `${fixed(low)} to ${fixed(high)}`;

/** The interval of a cell `{mean, half, seeds}`, as far as it is known. */
function interval(cell) {
  return known(cell.half) ? [cell.mean - cell.half, cell.mean + cell.half] : null;
}

/** Where values from `low` to `high` lie on a line of `width`, with a margin for the dots. */
function scale(low, high, width, margin = 5) {
  return (value) => margin + ((Math.min(Math.max(value, low), high) - low) / (high - low || 1)) * (width - 2 * margin);
}

/** Round limits around values in per cent, and the steps between them. */
function limits(values, wanted = 3) {
  const [least, most] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 100];
  const step = [1, 2, 5, 10, 20, 25, 50].find((size) => (most - least) / size <= wanted) ?? 50;
  const low = Math.max(0, Math.floor(least / step) * step);
  const high = Math.min(100, Math.max(low + step, Math.ceil(most / step) * step));
  return { low, high, step };
}

function steps({ low, high, step }) {
  return Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
}

/** All values of a metric that a spread plot of the key must hold. */
function reach(rows, metric) {
  const cells = rows.map((row) => row.measured[metric]).filter((cell) => known(cell.mean));
  const printed = rows.map((row) => row.printed[metric].mean).filter(known);
  return limits([...cells.flatMap((cell) => [cell.mean, ...cell.seeds, ...(interval(cell) ?? [])]), ...printed]);
}

/** Mean, t interval and seeds of one metric, and the printed number, on the axis of the key. */
function spread(row, metric, name, axis, width = 150) {
  const cell = row.measured[metric];
  const printed = row.printed[metric].mean;
  if (!known(cell.mean) && !known(printed)) return null;
  const at = scale(axis.low, axis.high, width);
  const range = known(cell.mean) ? interval(cell) : null;
  const said = [
    known(cell.mean) && `${name} ${fixed(cell.mean)}`,
    range && `95 % t interval ${between(range)}`,
    cell.seeds.length > 1 && `seeds ${cell.seeds.map((value) => fixed(value)).join(", ")}`,
    known(printed) && `printed ${fixed(printed)}`,
  ].filter(Boolean);
  return make("svg", { class: "plot", viewBox: `0 0 ${width} 22`, width, height: 22, role: "img", "aria-label": said.join("; ") },
    make("title", {}, said.join("; ")),
    steps(axis).map((value) => make("line", { class: "grid", x1: at(value), x2: at(value), y1: 0, y2: 22 })),
    range && make("line", { class: "interval", x1: at(range[0]), x2: at(range[1]), y1: 11, y2: 11 }),
    cell.seeds.map((value) => make("circle", { class: "seed", cx: at(value), cy: 11, r: 2.6 })),
    known(cell.mean) && make("line", { class: "mean", x1: at(cell.mean), x2: at(cell.mean), y1: 4, y2: 18 }),
    known(printed) && make("path", { class: "printed", d: diamond(at(printed), 11, 4.5) }));
}

function diamond(x, y, size) {
  return `M${x} ${y - size}L${x + size} ${y}L${x} ${y + size}L${x - size} ${y}Z`;
}

/** The numbers at the ends of the axis of a key's spread plots. */
function axisLabels(axis, width = 150) {
  const at = scale(axis.low, axis.high, width);
  const ends = [[axis.low, "start"], [axis.high, "end"]];
  return make("svg", { class: "plot", viewBox: `0 0 ${width} 12`, width, height: 12, "aria-hidden": "true" },
    ends.map(([value, anchor]) => make("text", { x: at(value), y: 10, "text-anchor": anchor }, `${value}`)));
}

/** How far apart the sources of uncertainty reach around one mean: `[[label, low, high], ...]`. */
function uncertainties(mean, ranges) {
  const width = 320;
  const axis = limits([mean, ...ranges.flatMap(([, low, high]) => [low, high])], 6);
  const at = (value) => 96 + scale(axis.low, axis.high, width - 96, 12)(value);
  const height = 20 * ranges.length + 20;
  const said = ranges.map(([label, low, high]) => `${label} ${between([low, high])}`).join("; ");
  return make("svg", { class: "ranges", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": said },
    steps(axis).map((value) => [
      make("line", { class: "grid", x1: at(value), x2: at(value), y1: 0, y2: height - 16 }),
      make("text", { x: at(value), y: height - 4, "text-anchor": "middle" }, `${value}`),
    ]),
    ranges.map(([label, low, high], i) => [
      make("text", { x: 0, y: 20 * i + 14 }, label),
      make("line", { class: "interval", x1: at(low), x2: at(high), y1: 20 * i + 10, y2: 20 * i + 10 }),
      make("line", { class: "mean", x1: at(mean), x2: at(mean), y1: 20 * i + 4, y2: 20 * i + 16 }),
    ]));
}

/** Seen against unseen accuracy of a key's rows, over lines of equal harmonic mean; `open(row)` follows a click on a point. */
function scatter(rows, marked, open) {
  const points = rows.flatMap((row) => [["measured", row.measured], ["printed", row.printed]]
    .filter(([, cells]) => known(cells.seen.mean) && known(cells.unseen.mean))
    .map(([kind, cells]) => ({ row, kind, seen: cells.seen.mean, unseen: cells.unseen.mean })));
  if (!points.length) return null;
  const [width, height, left, bottom] = [400, 270, 40, 36];
  const across = limits([0, ...points.map((point) => point.seen)], 5);
  const up = limits([0, ...points.map((point) => point.unseen)], 5);
  const x = (value) => left + scale(across.low, across.high, width - left, 8)(value);
  const y = (value) => height - bottom - scale(up.low, up.high, height - bottom, 8)(value);
  const drawn = points.map((point) => mark(point, x(point.seen), y(point.unseen), marked.has(point.row), open));
  return make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
    `Seen against unseen accuracy of ${points.length} results in per cent, the same numbers as in the table below` },
    steps(across).map((value) => [
      make("line", { class: "grid", x1: x(value), x2: x(value), y1: y(up.low), y2: y(up.high) }),
      make("text", { x: x(value), y: height - bottom + 14, "text-anchor": "middle" }, `${value}`)]),
    steps(up).map((value) => [
      make("line", { class: "grid", x1: x(across.low), x2: x(across.high), y1: y(value), y2: y(value) }),
      make("text", { x: left - 2, y: y(value) + 4, "text-anchor": "end" }, `${value}`)]),
    isoLines(across, up, x, y),
    make("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "S, seen (%)"),
    make("text", { transform: `translate(11 ${(height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "U, unseen (%)"),
    drawn);
}

function mark({ row, kind, seen, unseen }, x, y, marked, open) {
  const said = `${row.name}${kind === "printed" ? ", printed" : ""}: S ${fixed(seen)}, U ${fixed(unseen)}`;
  const shape = kind === "measured" ? make("circle", { cx: x, cy: y, r: 4 }) : make("path", { d: diamond(x, y, 5) });
  shape.append(make("title", {}, said));
  shape.setAttribute("class", `point ${kind}${row.tie === 1 && kind === "measured" ? " best" : ""}`);
  shape.dataset.row = row.id;
  shape.addEventListener("click", () => open(row));
  const label = marked && make("text", { class: "named", x: x > 300 ? x - 8 : x + 8, y: y - 6, "text-anchor": x > 300 ? "end" : "start" }, row.name);
  return label ? [label, shape] : [shape];
}

/** U for every S at one harmonic mean h: U = h · S / (2 · S − h). */
function isoLines(across, up, x, y) {
  return steps({ low: 10, high: 90, step: 10 }).map((mean) => {
    const seen = Array.from({ length: 101 }, (_, i) => across.low + (i / 100) * (across.high - across.low));
    const curve = seen.map((s) => [s, (mean * s) / (2 * s - mean)]).filter(([s, u]) => 2 * s > mean && u >= up.low && u <= up.high);
    if (curve.length < 2) return null;
    const [s, u] = curve.at(-1);
    return [
      make("path", { class: "iso", d: `M${curve.map(([s, u]) => `${x(s).toFixed(1)} ${y(u).toFixed(1)}`).join("L")}` }),
      make("text", { class: "iso", x: x(s), y: y(u) - 3, "text-anchor": "end" }, `HM ${mean}`),
    ];
  });
}
