// What opens below a row: its numbers with every interval, accuracy by class, runs, and where all of it comes from.

const INTERVALS = { clips: "over clips", videos: "over source videos", classes: "over classes" };
let shared = null; // class lists and environments, which many rows have in common

function details(row) {
  shared ??= read("shared");
  const all = read(row.detail);
  const parts = [numbers(row, all), sentences(all), uncertainty(row, all), classes(all), runs(all), facts(all)];
  return make("div", { class: "details" }, parts);
}

function part(title, ...children) {
  return make("section", {}, make("h4", {}, title), children);
}

function grid(heads, rows) {
  const head = make("tr", {}, heads.map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map(([first, ...cells]) => make("tr", {}, make("th", { scope: "row" }, first), cells.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads.join(", ") }, make("table", { class: "small" }, make("thead", {}, head), make("tbody", {}, body)));
}

function numbers(row, all) {
  const kinds = Object.keys(INTERVALS).filter((kind) => all.intervals[kind]);
  const measured = row.n > 0;
  const printed = METRICS.some(([metric]) => known(row.printed[metric].mean));
  const heads = ["%", measured && ["mean ± t interval", "seeds"], measured && kinds.map((kind) => `95 % ${INTERVALS[kind]}`),
    printed && "printed", measured && printed && ["measured − printed", "prediction interval"]].flat().filter(Boolean);
  const own = (cell) => [`${fixed(cell.mean)} ${known(cell.half) ? `± ${fixed(cell.half)}` : "±–"}`, cell.seeds.map((value) => fixed(value)).join("  ")];
  const lines = METRICS.map(([metric, name]) => {
    const found = row.against[metric];
    return [name,
      measured && own(row.measured[metric]),
      measured && kinds.map((kind) => (all.intervals[kind][metric] ? between(all.intervals[kind][metric]) : "–")),
      printed && fixed(row.printed[metric].mean),
      measured && printed && [signed(found?.difference), found ? [found.interval && between(found.interval), found.verdict].filter(Boolean).join(": ") : "–"],
    ].flat().filter((value) => value !== false);
  });
  if (known(all.unshared.mean)) lines.push(["S unshared", ...own(all.unshared), ...heads.slice(3).map(() => "")]);
  return part("Numbers", grid(heads, lines));
}

function sentences(all) {
  return all.sentences.length ? make("section", {}, all.sentences.map((sentence) => make("p", {}, sentence))) : null;
}

function uncertainty(row, all) {
  const cell = row.measured.harmonic_mean;
  const ranges = Object.entries(INTERVALS).filter(([kind]) => all.intervals[kind]?.harmonic_mean).map(([kind, label]) => [label, ...all.intervals[kind].harmonic_mean]);
  if (!ranges.length) return null;
  const own = interval(cell);
  return part("Where the uncertainty of HM comes from", uncertainties(cell.mean, own ? [["over seeds", ...own], ...ranges] : ranges));
}

function classes(all) {
  if (!known(all.classes)) return null;
  const { name, unseen, clips } = shared.classes[all.classes];
  let rank = -1;
  const found = name.map((label, i) => {
    rank += Number(unseen[i]);
    return { label, unseen: unseen[i], clips: clips[i], right: all.correct[i] / all.runs.length / clips[i],
      alone: unseen[i] ? all.zero_shot[rank] / all.runs.length / clips[i] : null };
  });
  return [["Unseen classes", 1], ["Seen classes", 0]].map(([title, flag]) => {
    const own = found.filter((one) => one.unseen === flag).sort((a, b) => b.right - a.right);
    return own.length ? part(`${title}: accuracy by class`, make("ul", { class: "bars", tabindex: "0", "aria-label": title }, own.map(bar))) : null;
  });
}

function bar({ label, clips, right, alone }) {
  const percent = `${fixed(100 * right, 0)} %`;
  const among = alone === null ? "" : `; ${fixed(100 * alone, 0)} % among unseen classes only`;
  return make("li", { title: `${label}: ${percent} of ${clips} clips${among}` },
    make("span", { class: "label" }, label),
    make("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: "ground", width: 100, height: 10 }), make("rect", { class: "bar", width: 100 * right, height: 10 }),
      known(alone) ? make("rect", { class: "tick", x: 100 * alone - 1, width: 2, height: 10 }) : null),
    make("span", { class: "value" }, percent), make("span", { class: "clips" }, `${clips} clips`),
    among && make("span", { class: "hidden" }, among));
}

function runs(all) {
  if (!all.runs.length) return null;
  return part("Runs", grid(all.columns, all.runs.map((run) => run.map((value) => value || "–"))));
}

function facts(all) {
  const environments = all.environments.map((number, i, { length }) => [length > 1 ? `Environment ${number}` : "Environment", shared.environments[number]]);
  const lists = [...Object.entries(all.facts), ...environments].filter(([, pairs]) => Object.keys(pairs).length);
  return part("Provenance", make("div", { class: "facts" }, lists.map(([title, pairs]) => make("details", {}, make("summary", {}, `${title} (${Object.keys(pairs).length})`),
    make("dl", {}, Object.entries(pairs).map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))))));
}
