// The page: its whole state is the link, and one key is drawn at a time from the JSON that stands above. What records and
// plugins say enters as text nodes only.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const at = (id) => document.getElementById(id);
const FIELDS = ["key", "sort", "search", "rules", "form", "encoder", "source", "rows", "note"];
const FILTERS = ["rules", "form", "encoder", "source"];
const FEW = 50; // rows drawn at first; more on demand, so that sorting stays quick
const index = read("index");
const METRICS = Object.entries(index.metrics);
const form = at("filters");
let shown = null; // the key in the panel: what its JSON says, the drawn rows by id, and how many may be drawn

// the link

function state() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(FIELDS.map((field) => [field, given.get(field) ?? ""]));
}

function link(changes) {
  const next = { ...state(), note: "", ...changes };
  return `#${new URLSearchParams(FIELDS.filter((field) => next[field]).map((field) => [field, next[field]]))}`;
}

function go(changes, instead = false) {
  if (link(changes) === location.hash) return;
  if (instead) location.replace(link(changes));
  else location.hash = link(changes);
}

/** What keeps a link to the key that is shown, whatever other keys come to stand before it. */
const here = () => ({ key: shown.key.id });
const opened = (now) => new Set(now.rows.split(",").filter(Boolean));

function toggle(id, only = false) {
  const rows = opened(state());
  if (only) rows.add(id);
  else if (!rows.delete(id)) rows.add(id);
  go({ ...here(), rows: [...rows].join(",") });
}

// filters and keys

function fits(now, key, { name, source }) {
  const own = { rules: key.rules, form: key.form, encoder: key.encoder, source };
  return FILTERS.every((field) => !now[field] || own[field] === now[field]) && name.toLowerCase().includes(now.search.toLowerCase());
}

function fillFilters() {
  for (const field of FILTERS) {
    const values = index.keys.flatMap((key) => (field in key ? [key[field]] : key.rows.map((row) => row[field])));
    const names = [...new Set(values)].filter(Boolean).sort();
    form.elements[field].append(make("option", { value: "" }, "all"), ...names.map((name) => make("option", { value: name }, name)));
  }
  for (const kind of ["input", "change"]) form.addEventListener(kind, ({ target }) => go({ [target.name]: target.value }, target.name === "search"));
  form.addEventListener("submit", (event) => event.preventDefault());
  at("clear").addEventListener("click", () => go(Object.fromEntries(["search", ...FILTERS].map((field) => [field, ""]))));
}

function fillTabs() {
  let group = "";
  for (const key of index.keys) {
    if (key.dataset !== group) at("tabs").append(make("p", { class: "group", "aria-hidden": "true" }, key.dataset));
    group = key.dataset;
    key.count = make("span", { class: "count" });
    key.tab = make("button", { type: "button", role: "tab", id: `tab-${key.id}`, "aria-controls": "panel", on: () => choose(key) },
      key.count,
      make("span", { class: "hidden" }, `${key.dataset} · `),
      make("span", { class: "place" }, `${key.features} · ${key.split}`),
      key.synthetic && make("span", { class: "badge" }, "SYNTHETIC"),
      make("span", { class: "how" }, key.how));
    at("tabs").append(key.tab);
  }
  at("tabs").addEventListener("keydown", (event) => {
    const tabs = index.keys.filter((key) => !key.tab.hidden);
    const here = tabs.findIndex((key) => key.tab === event.target);
    const next = { ArrowDown: here + 1, ArrowRight: here + 1, ArrowUp: here - 1, ArrowLeft: here - 1, Home: 0, End: -1 }[event.key];
    if (here < 0 || next === undefined) return;
    event.preventDefault();
    const key = tabs.at(next % tabs.length);
    key.tab.focus();
    choose(key, true);
  });
}

function choose(key, instead = false) {
  if (!wide.matches && !instead) at("keys").open = false;
  go({ key: key.id, rows: "" }, instead);
}

function showTabs(now, chosen) {
  let group = null;
  for (const key of index.keys) {
    const fitting = key.rows.filter((row) => fits(now, key, row)).length;
    key.count.replaceChildren(fitting === key.rows.length ? `${fitting}` : `${fitting} of ${key.rows.length}`, make("span", { class: "hidden" }, " rows · "));
    key.tab.hidden = !fitting && key !== chosen;
    key.tab.setAttribute("aria-selected", key === chosen);
    key.tab.tabIndex = key === chosen ? 0 : -1;
    const before = key.tab.previousElementSibling;
    if (before?.className === "group") [group, before.hidden] = [before, true];
    if (!key.tab.hidden) group.hidden = false;
  }
  at("chosen").textContent = `${chosen.title} · ${chosen.how}`;
}

// columns

/** Marks that lead to notes; a click keeps what has changed since the row was drawn. */
function notesOf(numbers) {
  return numbers.map((number) => make("a", { class: "note", href: link({ ...here(), note: number }), title: shown.notes[number - 1], "aria-label": `note ${number}`,
    on: (event) => { event.preventDefault(); go({ ...here(), note: number }); } }, `${number}`));
}

function number(cell, known_) {
  if (!known_) return [make("span", { class: "none" }, "–")];
  const half = "half" in cell && make("span", { class: "half" }, known(cell.half) ? ` ± ${fixed(cell.half)}` : " ±–");
  return [make("span", { class: "mean" }, fixed(cell.mean)), half || null, ...notesOf(cell.notes)];
}

function named(row) {
  const below = [row.source === "measured" ? "" : row.source, row.changed.join(", "), row.told].filter(Boolean).join(" · ");
  const button = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": `more-${row.detail}` }, row.name);
  return [
    make("span", { class: "who" }, button, ...notesOf(row.notes)),
    below && make("span", { class: "below", title: below }, below),
  ];
}

function columns(key) {
  const metrics = (part, group, wanted) => METRICS.map(([metric, name]) => ({
    id: `${part}_${metric}`, name, group, wanted, numeric: true, lead: metric === "harmonic_mean" && part === "measured",
    hint: `${part === "printed" ? "printed " : "mean over seeds of "}${name}`,
    value: (row) => row[part][metric].mean, cell: (row) => number(row[part][metric], known(row[part][metric].mean)),
  }));
  const axis = shown.axis;
  return [
    { id: "tie", name: "Tie", hint: "Rows of one group cannot be told apart from the best of it; – has no rank", numeric: true,
      wanted: key.measured, value: (row) => row.tie, cell: (row) => [known(row.tie) ? `${row.tie}` : "–"] },
    { id: "method", name: "Method", wanted: true, value: (row) => row.name.toLowerCase(), cell: named },
    { id: "n", name: "n", hint: "runs, one a seed", numeric: true, wanted: key.measured, value: (row) => row.n || null, cell: (row) => [row.n ? `${row.n}` : "–"] },
    ...metrics("measured", "Measured", key.measured),
    { id: "spread", name: "Spread of HM", hint: "Sorts by the half-width of the interval", wanted: key.measured, head: axisLabels(axis),
      value: (row) => row.measured.harmonic_mean.half, cell: (row) => [spread(row, "harmonic_mean", "HM", axis)] },
    { id: "behind", name: "To best", hint: "HM minus that of the best row; p after Holm", numeric: true, wanted: shown.rows.some((row) => row.behind),
      value: (row) => row.behind?.difference, cell: (row) => beside(row.behind, row.behind?.p) },
    ...metrics("printed", "Published", key.printed),
    { id: "difference", name: "HM − publ.", group: "Published", hint: "measured minus printed, and whether the prediction interval of one more run holds it",
      numeric: true, wanted: key.printed && key.measured, value: (row) => row.against.harmonic_mean?.difference,
      cell: (row) => beside(row.against.harmonic_mean, row.against.harmonic_mean?.verdict) },
  ].filter((column) => column.wanted);
}

/** A difference, and below it what is to be said of it. */
function beside(found, said) {
  return found ? [make("span", { class: "mean" }, signed(found.difference)), make("span", { class: "below" }, said)] : [make("span", { class: "none" }, "–")];
}

// the table

function load(key) {
  shown = { key, ...read(`key-${key.id}`), most: FEW, drawn: new Map(), order: "" };
  shown.axis = reach(shown.rows, "harmonic_mean");
  shown.columns = columns(key);
  document.title = `${key.title} · AV-GZSL leaderboard`;
  at("key-title").textContent = key.title;
  at("synthetic").hidden = !key.synthetic;
  at("chips").replaceChildren(...key.facts.map(([name, value]) => make("span", { class: "chip" }, make("b", {}, name), ` ${value}`)));
  const about = [key.about, key.printed_in && `Published numbers: ${key.printed_in}.`, ...shown.remarks].filter(Boolean);
  at("remarks").replaceChildren(...about.map((line) => make("p", {}, line)));
  at("notes").hidden = !shown.notes.length;
  at("notes").lastElementChild.replaceChildren(...shown.notes.map((note, i) => make("li", { id: `note-${i + 1}`, tabindex: "-1" }, note)));
  shown.body = make("tbody");
  at("table").replaceChildren(make("table", { class: key.measured && key.printed && "both" }, make("caption", { class: "hidden" }, key.title), heads(), shown.body));
}

function heads() {
  const groups = [];
  for (const { group = "" } of shown.columns) {
    if (groups.at(-1)?.group === group) groups.at(-1).span += 1;
    else groups.push({ group, span: 1 });
  }
  const above = groups.map(({ group, span }) => (group ? make("th", { colspan: span, scope: "colgroup" }, group) : make("td", { colspan: span })));
  for (const column of shown.columns) {
    const sort = make("button", { type: "button", title: column.hint, on: () => go({ ...here(), sort: nextSort(column) }) }, column.name, make("span", { class: "arrow", "aria-hidden": "true" }));
    column.head = make("th", { scope: "col", class: kindOf(column), "data-column": column.id }, sort, column.head ?? null);
  }
  return make("thead", {}, make("tr", { class: "groups" }, above), make("tr", {}, shown.columns.map((column) => column.head)));
}

const kindOf = (column) => [column.numeric ? "number" : "", column.lead ? "lead" : "", column.id].filter(Boolean).join(" ");

/** The better end first, then the other, then the order of the board. */
function nextSort(column) {
  const ways = column.numeric && column.id !== "tie" ? ["falling", "rising"] : ["rising", "falling"];
  const [id, way] = state().sort.split(":");
  const next = id === column.id ? ways[ways.indexOf(way) + 1] : ways[0];
  return next ? `${column.id}:${next}` : "";
}

function sorted(rows, sort) {
  const [id, way] = sort.split(":");
  const column = shown.columns.find((one) => one.id === id);
  if (!column) return rows;
  const sign = way === "falling" ? -1 : 1;
  const values = new Map(rows.map((row) => [row, column.value(row)]));
  const compare = (a, b) => (a < b ? -1 : Number(a > b));
  return rows.toSorted((one, other) => {
    const [a, b] = [values.get(one), values.get(other)];
    return known(a) && known(b) ? sign * compare(a, b) : Number(known(b)) - Number(known(a)); // what is missing stands last
  });
}

function line(row) {
  const found = shown.drawn.get(row.id);
  if (found) return found;
  const cells = shown.columns.map((column) => make(column.id === "method" ? "th" : "td",
    { class: kindOf(column), scope: column.id === "method" && "row" }, column.cell(row)));
  const made = { row, line: make("tr", { class: `row${row.tie === 1 ? " best" : ""}${row.n ? "" : " alone"}`, "data-row": row.id }, cells), more: null };
  shown.drawn.set(row.id, made);
  return made;
}

function arrange(now) {
  const fitting = sorted(shown.rows.filter((row) => fits(now, shown.key, row)), now.sort);
  const open = opened(now);
  const rows = fitting.slice(0, shown.most).map(line).flatMap((made) => {
    const wanted = open.has(made.row.id);
    made.line.querySelector(".open").setAttribute("aria-expanded", wanted);
    if (wanted && !made.more) made.more = make("tr", { class: "more", id: `more-${made.row.detail}` }, make("td", { colspan: shown.columns.length }, details(made.row)));
    return wanted ? [made.line, made.more] : [made.line];
  });
  const focused = document.activeElement;
  if (rows.length !== shown.body.children.length || rows.some((row, i) => row !== shown.body.children[i])) shown.body.replaceChildren(...rows);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  const [id, way] = now.sort.split(":");
  for (const column of shown.columns) column.head.setAttribute("aria-sort", column.id === id ? { rising: "ascending", falling: "descending" }[way] ?? "none" : "none");
  const left = fitting.length - shown.most;
  at("more").replaceChildren(left > 0 ? make("button", { type: "button", on: () => { shown.most = Infinity; draw(); } }, `Show ${left} more rows`) : "");
  const all = `${shown.rows.length} ${shown.rows.length === 1 ? "row" : "rows"}`;
  const many = fitting.length === shown.rows.length ? all : `${fitting.length} of ${all}`;
  at("status").textContent = fitting.length ? many : "No row of this key fits the filters.";
  showScatter(now);
}

/** The drawing stays as it is while only the order of the rows changes. */
function showScatter(now) {
  const sight = link({ sort: "" });
  if (shown.sight === sight) return;
  shown.sight = sight;
  const fitting = shown.rows.filter((row) => fits(now, shown.key, row));
  const marked = new Set(fitting.filter((row, i) => opened(now).has(row.id) || (row.tie === 1 && i < 3)));
  at("scatter").replaceChildren(scatter(fitting, marked, (row) => toggle(row.id, true)) ?? "");
}

function draw() {
  const now = state();
  const key = index.keys.find((one) => one.id === now.key) ?? index.keys.find((one) => one.rows.some((row) => fits(now, one, row))) ?? index.keys[0];
  if (!key) {
    at("key-title").textContent = "No results yet";
    return;
  }
  for (const field of ["search", ...FILTERS]) if (form.elements[field].value !== now[field]) form.elements[field].value = now[field];
  at("clear").hidden = !["search", ...FILTERS].some((field) => now[field]);
  showTabs(now, key);
  if (shown?.key !== key) load(key);
  arrange(now);
  const note = now.note && at(`note-${now.note}`);
  if (note) note.focus();
}

// light and dark, and the start

const wide = matchMedia("(min-width: 60rem)");

function scheme(wanted) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.scheme ?? (dark ? "dark" : "light");
  const next = wanted === "other" ? { dark: "light", light: "dark" }[now] : wanted ?? now;
  if (wanted) document.documentElement.dataset.scheme = next;
  at("scheme").textContent = next === "dark" ? "Light" : "Dark";
  at("scheme").setAttribute("aria-label", `Switch to the ${next === "dark" ? "light" : "dark"} scheme`);
  return next;
}

function start() {
  at("summary").textContent = index.summary;
  at("left-out").replaceChildren(...(index.remarks.length ? [make("h3", {}, "Remarks"), make("ul", {}, index.remarks.map((remark) => make("li", {}, remark)))] : []));
  fillFilters();
  fillTabs();
  at("scheme").addEventListener("click", () => scheme("other"));
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); at("table").focus(); });
  at("table").addEventListener("click", ({ target }) => {
    const row = target.closest("tr.row");
    if (row && !target.closest("a") && !getSelection().toString()) toggle(row.dataset.row);
  });
  at("table").addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = [...shown.body.querySelectorAll(".open")];
    const here = buttons.indexOf(event.target);
    if (!way || here < 0) return;
    event.preventDefault();
    buttons.at((here + way) % buttons.length).focus();
  });
  const fold = () => { at("keys").open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
  scheme();
  window.addEventListener("hashchange", draw);
  window.addEventListener("beforeprint", () => { if (shown) { shown.most = Infinity; draw(); } });
  draw();
}
