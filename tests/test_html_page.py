"""The HTML page in a real Chromium: what a person can do with it, by mouse, by keyboard and by link, and what it never does."""

import base64
import hashlib
import json
import re
import shutil

import decided
import pytest

from avgzsl_bench import plugins
from avgzsl_bench.board import table
from avgzsl_bench.board.renderers.html import Html
from avgzsl_bench.published import PublishedRow

EVIL = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">\u2028&amp;"
FAULT = "cannot follow from the printed S and U"


def printed(method, seen, unseen, mean, **more):
    names = {"key": "somebody2020", "table": "1", "method": method, "label": method.upper(), "encoder": "clip", "text": "names"}
    place = {"dataset": "ucf", "features": "selavi", "split": "main"}
    return PublishedRow(**names, **place, seen=seen, unseen=unseen, harmonic_mean=mean, zero_shot=90.0, **more)


PRINTED = [printed("kda", 60.0, 40.0, 55.0), printed("older", 30.0, 20.0, 24.0), printed("newer", None, 50.0, None)]
COST = {"train_seconds": 12.25, "evaluate_seconds": 0.5, "parameters": 1234, "peak_host_bytes": 5 * 10**8, "peak_device_bytes": 0}


def run(folder, method="kda", seed=0, skill=0.6, settings=None, **changes):
    """A made-up run, with what it cost and where it ran."""
    found = decided.record(folder, seed, skill, method=method, settings=settings, **({"synthetic": False} | changes))
    found["cost"], found["environment"] = COST, {"python": "3.11.7", "threads": 1 + seed, "device": {"name": "a processor"}}
    return found


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    skills = {"kda": 0.9, "avca": 0.6, "devise": 0.3}
    runs = [run(folder, name, seed, skill) for name, skill in skills.items() for seed in range(4)]
    search = {"grid": [{"epochs": 5}, {"epochs": 7}], "winner": {"epochs": 7}, "values": [0.2, 0.3]}
    runs += [run(folder, "ale", 0, 0.4, selection={"search": search}), run(folder, "sje", 0, 0.45)]
    runs[-1]["source"] = "external scores"
    runs += [run(folder, "avca", seed, 0.55, rules="reference", form="reference") for seed in range(3)]
    runs += [run(folder, "kda", seed, 0.2, dataset="demo", features="mapped", synthetic=True) for seed in range(3)]
    runs += [run(folder, "kda", 0, 0.2, dataset="demo", features="mapped", synthetic=True, rules="reference", form="reference")]
    runs += [run(folder, "kda", seed, 0.35, encoder="hashed", text="descriptions@1") for seed in range(2)]
    hostile = {"dataset": f"data {EVIL}", "text": EVIL, "encoder": "e\\", "settings": {EVIL: EVIL}}
    runs += [run(folder, EVIL, 0, 0.5, **hostile)]
    runs[-1]["recipe"] = EVIL
    return runs


@pytest.fixture(scope="module", autouse=True)
def only_built_ins():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVGZSL_PLUGINS", "")
        plugins.registry.cache_clear()
        yield
    plugins.registry.cache_clear()


@pytest.fixture(scope="module")
def built(records):
    return table.build(records, PRINTED)


@pytest.fixture(scope="module")
def home(built):
    """The key that most tests look at."""
    return next(section for section in built.sections if section.printed_in)


@pytest.fixture(scope="module")
def text(built):
    return Html().render(built)


@pytest.fixture(scope="module")
def address(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    quiet = ("background-networking", "component-update", "sync", "gpu", "quic", "dev-shm-usage")
    for word in ("headless=new", "no-sandbox", "no-first-run", *(f"disable-{part}" for part in quiet)):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    yield driver
    driver.quit()


class Page:
    """The page as a person sees it, with short words for what one does."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address

    def open(self, state="", width=1400, scheme="light"):
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        )
        self.emulate(scheme)
        self.driver.get("about:blank")
        self.driver.get(self.address + state)
        return self

    def emulate(self, scheme="light", medium="", motion="no-preference"):
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def click(self, selector):
        self.one(selector).click()
        return self.settled()

    def press(self, *keys, on=None):
        (self.one(on) if on else self.driver.switch_to.active_element).send_keys(*keys)
        return self.settled()

    def settled(self):
        """After the events that a change of the link sends."""
        self.driver.execute_async_script("const done = arguments[0]; setTimeout(() => requestAnimationFrame(() => done()), 0)")
        return self

    def back(self):
        self.driver.back()
        return self.settled()

    @property
    def link(self):
        return self.run("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    @property
    def names(self):
        return self.texts("tr.row .open")

    @property
    def title(self):
        return self.one("#key-title").text

    def column(self, name):
        return self.texts(f"tr.row > td.{name} > .mean, tr.row > td.{name} > .none")


@pytest.fixture
def page(chromium, address):
    yield (found := Page(chromium, address)).open()
    assert [entry for entry in found.driver.get_log("browser") if entry["level"] == "SEVERE"] == []


UCF = "#key=ucf-selavi-main-clip-of-names-1-paper-corrected"
MEASURED = ["ale", "avca", "devise", "kda", "sje"]  # of that key


def named(section, name):
    (row,) = (row for row in section.rows if row.name == name)
    return row


# the file


def test_it_is_one_file_that_loads_nothing_and_lets_nothing_be_loaded(text, page):
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    shell = re.sub(r"<script type=\"application/json\".*?</script>", "", text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\bsrc=", re.sub(r"// .*", "", shell))
    assert re.findall(r"\bhref=\"([^\"]*)\"", shell) == ["data:,", "#table"]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        content = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.S)[1]
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy


def test_the_policy_is_in_force(page):
    page.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = 1' }))")
    refused = page.run("return fetch('data:,x').then(() => 'loaded', () => 'refused')")
    assert (page.driver.title == "1", refused) == (False, "refused")
    assert all("Content Security Policy" in entry["message"] for entry in page.driver.get_log("browser"))


def test_the_script_writes_text_only(text):
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser", script)


def test_the_bytes_follow_from_the_records_alone(records, built, text):
    assert Html().render(built) == text
    assert Html().render(table.build(records[::-1], PRINTED)) == text


def test_nothing_that_a_record_says_ends_its_json(text):
    for content in re.findall(r'<script type="application/json" id="[^"]*">(.*?)</script>', text, re.S):
        json.loads(content)
        assert not set("<>&\u2028\u2029") & set(content)


def test_hostile_names_are_inert_and_shown_as_they_are(page):
    key = next(
        one["id"]
        for one in json.loads(page.run("return document.getElementById('index').textContent"))["keys"]
        if EVIL in one["title"]
    )
    page.open(f"#key={key}").click("tr.row .open")
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.names == [EVIL]
    assert EVIL in page.run("return document.getElementById('key-title').textContent")
    assert page.texts(".chip")[0] == f"class text e\\ of {EVIL}"
    assert EVIL in page.texts("dt")
    assert EVIL in page.texts("dd")
    assert page.run("return document.querySelectorAll('img, main script').length") == 0
    assert page.driver.title != "broken"


# keys


def test_every_key_has_a_tab_that_says_where_data_are_synthetic(built, page):
    tabs = [tab.accessible_name for tab in page.all("[role=tab]")]
    assert len(tabs) == len(built.sections)
    demo, _ = (name for name in tabs if "demo" in name)
    assert all(part in demo for part in ("mapped · main", "clip of names@1", "paper", "corrected", "SYNTHETIC"))
    assert sum("SYNTHETIC" in name for name in tabs) == 2
    groups = page.texts("#tabs .group")
    assert len(groups) == len(set(groups)) == 3  # though the table goes by rules first


def test_a_tab_shows_its_key_and_only_its_rows(page):
    page.open(UCF)
    assert page.title == "ucf · selavi · main"
    assert sorted(page.names[:5]) == MEASURED
    assert not page.one("#synthetic").is_displayed()
    next(tab for tab in page.all("[role=tab]") if "demo" in tab.text or "mapped" in tab.text).click()
    page.settled()
    assert (page.title, page.names) == ("demo · mapped · main · SYNTHETIC data", ["kda"])
    assert page.one("#synthetic").is_displayed()
    assert page.texts("[aria-selected=true] .place") == ["mapped · main"]
    assert page.back().title == "ucf · selavi · main"


def test_tabs_are_walked_by_arrow_keys(page):
    page.open(UCF)
    page.one("[aria-selected=true]").send_keys("\ue015")  # arrow down
    first = page.settled().link["key"]
    assert first != UCF.partition("=")[2]
    page.press("\ue013")
    assert page.link["key"] == UCF.partition("=")[2]
    page.press("\ue010")  # end
    assert page.run("return document.activeElement === [...document.querySelectorAll('[role=tab]')].at(-1)")
    page.press("\ue011")
    assert page.run("return document.activeElement.getAttribute('aria-selected')") == "true"
    assert len(page.all("[role=tab][tabindex='0']")) == 1


# the table


@pytest.mark.parametrize("column", ["measured_seen", "measured_unseen", "measured_zero_shot", "printed_seen"])
def test_a_click_on_a_head_sorts_and_what_is_missing_stands_last(page, column):
    before = page.open(UCF).names
    for way, sign in (("descending", -1), ("ascending", 1)):
        page.click(f"th.{column} button")
        shown = page.column(column)
        numbers = [float(one) for one in shown if one != "–"]
        assert numbers == sorted(numbers, key=lambda one: sign * one)
        assert shown == [*shown[: len(numbers)], *["–"] * (len(shown) - len(numbers))]
        assert "–" in shown
        assert page.one(f"th.{column}").get_attribute("aria-sort") == way
        assert len(page.all("[aria-sort=ascending], [aria-sort=descending]")) == 1
    assert page.click(f"th.{column} button").names == before
    assert page.back().link["sort"] == f"{column}:rising"


def test_names_and_tie_groups_sort_upwards_first_and_spread_by_its_width(page):
    page.open(UCF).press("\ue007", on="th.method button")  # enter
    assert page.names == sorted(page.names, key=str.lower)
    page.click("th.tie button")
    groups = [int(one) for one in page.texts("td.tie") if one != "–"]
    assert groups == sorted(groups)
    page.click("th.spread button")
    widths = [float(one.removeprefix(" ± ")) for one in page.texts("td.measured_harmonic_mean .half") if "–" not in one]
    assert widths == sorted(widths)
    assert len(widths) == 3


def test_groups_of_ties_stand_where_ranks_would(home, page):
    page.open(UCF)
    assert page.texts("td.tie") == [str(row.tie_group or "–") for row in home.rows]
    assert page.texts("td.tie")[0] == "1"
    assert page.texts("tr.best .open") == [row.name for row in home.rows if row.tie_group == 1]


def test_the_spread_of_the_seeds_is_drawn_and_told(home, page):
    page.open(UCF)
    label = page.one("td.spread svg").get_attribute("aria-label")
    row = named(home, "kda")
    cell = row.measured["harmonic_mean"]
    assert label.startswith(f"HM {cell.mean:.2f}; 95 % t interval {cell.mean - cell.half_width:.2f} to")
    assert label.endswith("printed 55.00")
    assert len(page.all("tr.row:first-child td.spread .seed")) == 4
    assert all(f"{100 * record['metrics']['harmonic_mean']:.2f}" in label for record in row.runs)


def test_printed_numbers_stand_beside_measured_ones_with_difference_and_verdict(home, page):
    page.open(UCF)
    row = named(home, "kda")
    assert page.column("printed_harmonic_mean")[0] == "55.00"
    verdict = row.against["harmonic_mean"]
    shown = page.texts("td.difference")[0]
    assert shown.startswith(f"{verdict.difference:+.2f}".replace("-", "−"))
    assert {True: "within", False: "outside", None: "cannot tell"}[verdict.within] in shown
    assert page.column("measured_seen")[-1] == "–"


def test_a_mark_leads_to_its_footnote_and_back(page):
    page.open(UCF).click("th.method button")
    mark = page.one("td.printed_harmonic_mean a.note")
    assert "note" in mark.accessible_name
    mark.click()
    note = page.settled().driver.switch_to.active_element
    assert FAULT in note.text
    assert "2 · 60.00 · 40.00 / (60.00 + 40.00) = 48.00" in note.text
    assert page.link["note"]
    assert page.link["sort"] == "method:rising"
    assert page.back().link.get("note") is None


def test_seen_against_unseen_is_drawn_for_every_row_that_has_both(page):
    page.open(UCF)
    assert len(page.all("#scatter .point.measured")) == 5
    assert len(page.all("#scatter .point.printed")) == 2
    assert page.all("#scatter path.iso")
    assert "7 results" in page.one("#scatter svg").get_attribute("aria-label")
    page.run("document.querySelector('#scatter .point').dispatchEvent(new MouseEvent('click', { bubbles: true }))")
    assert len(page.settled().all("tr.more")) == 1


# filters


def test_search_keeps_rows_and_keys_by_name_without_piling_up_history(page):
    before = page.open(UCF).run("return history.length")
    page.press("AV", on="[name=search]")
    assert page.run("return history.length") == before
    assert page.names == ["avca"]
    assert "1 of" in page.one("#status").text
    assert page.link["search"] == "AV"
    assert len([tab for tab in page.all("[role=tab]") if tab.is_displayed()]) == 2
    page.press("X")
    assert page.names == []
    page.one("[name=search]").clear()
    assert page.press("older", on="[name=search]").names == ["OLDER"]
    page.press("x")
    assert "No row" in page.one("#status").text
    page.click("#clear")
    assert sorted(page.names[:5]) == MEASURED
    assert not page.one("#clear").is_displayed()


@pytest.mark.parametrize(
    ("field", "value", "tabs", "names"),
    [
        ("rules", "reference", 2, []),
        ("form", "paper", 4, MEASURED),
        ("encoder", "hashed", 1, []),
        ("source", "published", 1, ["NEWER", "OLDER"]),
        ("source", "external scores", 1, ["sje"]),
    ],
)
def test_filters_keep_rows_and_the_keys_that_have_such(page, field, value, tabs, names):
    from selenium.webdriver.support.ui import Select

    page.open(UCF)
    Select(page.one(f"[name={field}]")).select_by_value(value)
    page.settled()
    assert page.link[field] == value
    assert sorted(page.names[:5]) == sorted(names)
    counts = [int(one.text.split()[0]) for one in page.all("[role=tab]") if one.is_displayed()]
    assert len([count for count in counts if count]) == tabs


def test_what_one_does_pins_the_key_that_one_looks_at(page):
    page.open("")
    assert page.link == {}
    for selector in ("th.method button", "tr.row .open"):
        assert (
            page.open("")
            .click(selector)
            .link["key"]
            .endswith(page.run("return document.querySelector('[aria-selected=true]').id.slice(4)"))
        )


def test_a_fresh_link_with_a_filter_opens_a_key_that_fits(page):
    page.open("#rules=reference")
    assert page.names == ["kda (reference)"]


# details


def test_a_row_opens_by_click_and_by_key_and_says_where_it_comes_from(home, page):
    page.open(UCF)
    row = named(home, "avca")
    page.press("\ue007", on="tr.row:nth-of-type(2) .open")
    assert page.one("tr.row:nth-of-type(2) .open").get_attribute("aria-expanded") == "true"
    page.run("document.querySelectorAll('.details details').forEach((one) => { one.open = true; })")
    shown = page.one("tr.more").text
    for record in row.runs:
        assert record["run_id"] in shown
        assert f"{100 * record['metrics']['ausuc']:.2f}" in shown
    for word in (
        "features_sha256",
        "0" * 64,
        "encoder_revision",
        row.runs[0]["decisions"]["sha256"],
        "12.2 s",
        "2026-01-01",
        "a processor",
    ):
        assert word in shown, word
    assert "Environment 3" in shown  # of four that differ in their threads
    assert page.link["rows"] == row.setting_id
    page.one("tr.row:nth-of-type(2) td.n").click()
    assert page.settled().all("tr.more") == []


def test_a_searched_setting_is_shown_as_each_run_chose_it(home, page):
    place = [row.name for row in home.rows].index("ale") + 1
    shown = page.open(UCF).click(f"tr.row:nth-of-type({place}) .open").one("tr.more").text
    assert "epochs=7" in shown
    assert "Changed: epochs=5 | 7" in shown


def test_bars_show_seen_and_unseen_classes_apart_with_their_clips(home, page):
    page.open(UCF).click("tr.row .open")
    row = named(home, "kda")
    counts = [record["per_class"] for record in row.runs]
    clips, right = counts[0]["clips"], [sum(own) for own in zip(*(one["correct"] for one in counts), strict=True)]
    share = {i: right[i] / (len(counts) * clips[i]) for i in range(7) if not counts[0]["unseen"][i]}
    unseen, seen = (page.run("return [...arguments[0].children].map((one) => one.title)", bars) for bars in page.all(".bars"))
    assert [len(seen), len(unseen)] == [4, 3]
    best = max(share, key=lambda i: share[i])
    assert seen[0].startswith(f"class_{best}: {100 * share[best]:.0f} % of {clips[best]} clips")
    assert all("among unseen classes only" in line for line in unseen)
    assert not any("among unseen classes only" in line for line in seen)
    width = page.run("return document.querySelectorAll('.bars')[1].querySelector('.bar').getAttribute('width')")
    assert float(width) == pytest.approx(100 * share[best])


def test_several_rows_stay_open_and_the_link_brings_all_of_it_back(page):
    page.open(UCF).click("th.measured_seen button").click("tr.row .open")
    page.one("tr.row:last-of-type .open").click()
    page.settled().press("k", on="[name=search]")
    link = page.run("return location.hash")
    names, opened = page.names, len(page.all("tr.more"))
    page.open(link)
    assert (page.names, len(page.all("tr.more"))) == (names, opened)
    assert page.one("[name=search]").get_attribute("value") == "k"
    assert page.one("th.measured_seen").get_attribute("aria-sort") == "descending"


def test_focus_stays_where_it_was(page):
    page.open(UCF).press("\ue007", on="tr.row:nth-of-type(2) .open")
    assert page.driver.switch_to.active_element.text == "avca"
    page.press("\ue015")
    assert page.driver.switch_to.active_element.text == page.names[2]


@pytest.mark.parametrize(
    "state", ["#key=nonsense&sort=x:y&rows=a,b&note=99&rules=z", "#%E0%A4%A", "#&&==", "#sort=constructor:falling"]
)
def test_a_broken_link_does_no_harm(page, state):
    page.open(state)
    assert page.title


# for everyone


USED = {"button", "link", "searchbox", "combobox", "tab", "tablist", "tabpanel", "region", "image", "DisclosureTriangle", "list"}


def test_everything_that_can_be_used_or_looked_at_has_a_name(page):
    page.open(UCF).click("tr.row .open")
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    shown = [node for node in tree if not node["ignored"]]
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]
    plain = [(role, name) for role, name in found if role in USED - {"list"} and not name.strip()]
    assert plain == []
    assert {role for role, _ in found} >= USED
    assert [name for role, name in found if role == "tabpanel"] == ["ucf · selavi · main"]
    assert ("list", "Seen classes") in found
    assert ("columnheader", "HM") in found
    assert page.one("html").get_attribute("lang") == "en"
    assert len(page.all("h1")) == 1


MOVING = """
const seconds = (one) => parseFloat(getComputedStyle(one).transitionDuration);
return [...document.querySelectorAll("*")].filter((one) => seconds(one) > 0).length;
"""
CONTRAST = """
const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const parts = (color) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
};
const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
const light = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * linear(color[i] / 255), 0);
const ground = (one) => {
  const color = parts(getComputedStyle(one).backgroundColor);
  return color[3] === 255 || !one.parentElement ? color : ground(one.parentElement);
};
const faint = [];
let seen = 0;
for (const one of document.querySelectorAll("body *")) {
  const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !one.checkVisibility() || one.closest(".hidden, .skip, script, style, noscript")) continue;
  seen += 1;
  const style = getComputedStyle(one);
  const [a, b] = [light(parts(one instanceof SVGElement ? style.fill : style.color)), light(ground(one))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${one.outerHTML.slice(0, 100)}`);
}
return [faint, seen];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(page, scheme):
    page.open(UCF, scheme=scheme).click("tr.row .open")
    faint, seen = page.run(CONTRAST)
    assert faint == []
    assert seen > 150
    page.open("#key=demo-mapped-main-clip-of-names-1-paper-corrected-synthetic", scheme=scheme)
    assert page.run(CONTRAST)[0] == []


def test_the_scheme_is_the_systems_until_it_is_switched(page):
    def background():
        return page.run("return getComputedStyle(document.documentElement).backgroundColor")

    light, dark = (page.open(UCF, scheme=scheme) and background() for scheme in ("light", "dark"))
    assert light != dark
    button = page.one("#scheme")
    assert "light" in button.accessible_name
    button.click()
    assert background() == light
    page.click("th.n button").click("#scheme")
    assert background() == dark


def test_a_narrow_window_scrolls_the_table_and_never_the_page(page):
    page.open(UCF, width=360).click("tr.row .open")
    assert page.run("return document.documentElement.scrollWidth") <= 360
    assert page.run("const box = document.getElementById('table'); return box.scrollWidth > box.clientWidth")
    assert not page.one("#tabs").is_displayed()
    page.one("#keys summary").click()
    assert page.one("#tabs").is_displayed()
    page.all("[role=tab]")[-1].click()
    assert not page.settled().one("#tabs").is_displayed()


def test_print_leaves_out_what_paper_cannot_do(page):
    page.open(UCF)
    page.emulate(medium="print", scheme="dark")
    assert not any(page.one(one).is_displayed() for one in ("#filters", "#keys", "#scheme"))
    assert page.one("tr.row").is_displayed()
    assert page.run("return getComputedStyle(document.documentElement).colorScheme") == "light"


def test_nothing_moves_for_who_wants_no_motion(page):
    page.open(UCF)
    assert page.run(MOVING) > 0
    page.emulate(motion="reduce")
    assert page.run(MOVING) == 0


def test_a_long_key_is_drawn_in_part_until_all_of_it_is_asked_for(chromium, records, tmp_path):
    runs = []
    for i in range(70):
        ids = {"run_id": f"{i:016x}", "setting_id": f"{i:016x}", "settings": {**records[0]["settings"], "epochs": i}}
        runs.append({**records[0], **ids, "metrics": {**records[0]["metrics"], "seen": (i * 37 % 70) / 70}})
    path = tmp_path / "long.html"
    path.write_text(Html().render(table.build(runs, ())), encoding="utf-8")
    page = Page(chromium, path.as_uri()).open()
    assert len(page.names) == 50
    page.click("th.measured_seen button")
    assert page.column("measured_seen")[0] == f"{100 * 69 / 70:.2f}"
    assert page.click("th.measured_seen button").column("measured_seen")[0] == "0.00"
    page.click("#more button")
    assert page.column("measured_seen")[-1] == f"{100 * 69 / 70:.2f}"
    assert len(page.names) == 70


def test_an_empty_board_is_a_page_too(chromium, tmp_path):
    path = tmp_path / "empty.html"
    path.write_text(Html().render(table.build([], ())), encoding="utf-8")
    page = Page(chromium, path.as_uri()).open()
    assert "No results" in page.one("main").text
    assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []
