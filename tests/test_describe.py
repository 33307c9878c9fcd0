"""Descriptions by a language model: what it is told, and a server that behaves and misbehaves."""

import json
import time
from itertools import pairwise

import pytest
from chat_server import changed, cut, cut_within, entry, failed, good, log, pack_path, raw, reply, slow, status

from avgzsl_bench import datasets
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.files import data_root
from avgzsl_bench.text import packs
from avgzsl_bench.text.describing import questions

pytest_plugins = ("describe_fixtures",)

LONG = "a long and winding phrase about very many unusual things, " * 8
GERMAN = "Ein Mann schlägt mit einem Schläger auf den Ball, während die Zuschauer in der Halle laut jubeln und klatschen."


# what the model is told


def test_the_question_says_what_the_class_is_and_stands_beside():
    asked = questions.of_classes("ucf", datasets.get("ucf").classes("main"))
    assert 'The class: "Basketball Dunk"\n' in asked["BasketballDunk"]
    assert "\nOther classes of the data set, from which the texts must let it be told: Basketball\n" in asked["BasketballDunk"]
    assert "Other classes" not in asked["YoYo"]
    throws = asked["HammerThrow"].split("told: ")[1].split("\n")[0].split("; ")
    assert {"Throw Discus", "Javelin Throw"} <= set(throws)
    about = {name: questions.of_classes(name, datasets.get(name).classes("main")) for name in ("ucf", "activitynet", "vggsound")}
    told = {next(iter(each.values())).split("The data set: ")[1].split("\n")[0] for each in about.values()}
    assert len(told) == 3
    assert all("$" not in text and '{"definition": "..."' in text for each in about.values() for text in each.values())


def test_neighbours_share_rare_words_first_then_letters():
    names = [
        "playing drum",
        "dog barking",
        "playing bass",
        "beating drums",
        "playing cello",
        "playing drill",
        "play a drum loudly",
    ]
    names += [f"playing {what}" for what in ("harp", "lute", "oboe")]
    asked = questions.of_classes("demo", [ClassInfo(name, name, "train") for name in names])["playing drum"]
    near = next(line for line in asked.splitlines() if "; " in line and "beating drums" in line)
    assert "play a drum loudly; beating drums; playing drill; " in near
    assert near.count("; ") == 5
    assert "dog barking" not in asked


def test_a_table_of_ones_own_is_told_of_in_its_owners_words(describe, mini, server):
    assert describe("--about", "calls of   coloured $animals")[0] == 0
    assert all("The data set: calls of coloured $animals\n" in messages[0]["content"] for _, messages, *_ in server.asked)


# a server that behaves


@pytest.mark.parametrize("dataset", ["demo", "ucf", "activitynet", "vggsound"])
def test_a_pack_of_every_data_set(describe, server, dataset):
    code, out, err = describe("--name", "mine", "--concurrency", "8", dataset=dataset)
    assert code == 0, err
    classes = datasets.get(dataset).classes("main")
    pack = packs.find("mine", dataset, classes)
    assert pack.entries == {info.name: entry(info.text_name) for info in classes}
    assert sorted(server.names()) == sorted(info.text_name for info in classes)
    assert f"pack: {pack_path('mine', dataset)}\n" in out
    assert f"--dataset {dataset} --text mine" in out
    for said in ("written by m (which answered as served-model-1) at 127.0.0.1", time.strftime("%Y-"), questions.label()):
        assert said in pack.origin


def test_the_pack_is_checked_and_used_as_the_last_lines_say(describe, avgzsl, tmp_path):
    out = describe(dataset="demo")[1]
    check, use = (line.split(": avgzsl ")[1].split() for line in out.splitlines()[-2:])
    code, out, err = avgzsl(*check)
    assert code == 0, out + err
    assert "no faults" in out
    code, out, err = avgzsl(*use, "--dry-run", "--out", tmp_path)
    assert code == 0, err
    assert "kda on demo" in out


def test_every_answer_is_logged(describe, mini, server):
    server.script[mini[0]] = [reply("no idea")]
    assert describe()[0] == 0
    lines = log()
    assert len(lines) == len(mini) + 1
    first, second = [line for line in lines if line["class"] == mini[0]]
    assert (first["try"], first["answer"], first["faults"]) == (1, "no idea", ["the answer holds no JSON object"])
    assert (second["try"], second["faults"], json.loads(second["answer"])) == (2, [], entry(mini[0]))
    asked = [messages for name, messages, *_ in server.asked if name == mini[0]]
    assert [first["prompt"], second["prompt"]] == asked
    for line in lines:
        assert (line["model"], line["served"], line["prompt_version"]) == ("m", "served-model-1", questions.label())
        assert line["endpoint"] == server.url.split("/")[2]
        assert line["date"].startswith(time.strftime("%Y-"))
        assert line["tokens"] == [300, 100]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrency(describe, mini, server, concurrency):
    server.pause = 0.05
    assert describe("--concurrency", concurrency)[0] == 0
    assert server.most == concurrency


def test_the_model_may_say_more_than_the_object(describe, mini, server):
    text = json.dumps(entry(mini[0]))
    server.script[mini[0]] = [reply(f'<think>{{"definition": 1}} hm</think>Sure {{here}} it is:\n```json\n{text}\n```\nBye.')]
    assert describe()[0] == 0
    assert server.names().count(mini[0]) == 1


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(describe, mini, server, monkeypatch):
    server.script[mini[0]] = [reply("no")] * 3
    lines = describe("--concurrency", "1")[2].splitlines()[:-1]
    assert lines == [f"[{i}/{len(mini)}] {name}" for i, name in enumerate(mini, 1)]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    err = describe()[2]
    assert "[1/" not in err
    assert "describing" in err
    assert "1/1" in err


# the estimate and the confirmation


def test_the_estimate_and_its_price(avgzsl, server):
    options = ("--endpoint", server.url, "--dry-run", "--price-in", "10", "--price-out", "20")
    code, out, err = avgzsl("text", "describe", "ucf", "--model", "m", *options)
    estimate, question = out.split("\n\n", 1)
    asked = questions.of_classes("ucf", datasets.get("ucf").classes("main"))
    tokens = sum(map(len, asked.values())) // 4
    assert (code, err) == (0, "")
    assert f"101 requests, about {tokens:,} tokens in and 20,200 out, which cost about " in estimate
    price = float(estimate.split("cost about ")[1].split(";")[0])
    assert price == pytest.approx((tokens * 10 + 20_200 * 20) / 1e6, rel=0.05)
    assert question.strip() == next(iter(asked.values()))
    assert server.asked == []
    assert not data_root().exists()


def test_one_price_alone_is_refused(refused, server):
    said = refused("text", "describe", "demo", "--model", "m", "--endpoint", server.url, "--price-in", "1")
    assert "--price-in and --price-out" in said


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("n\n", False), ("", False)])
def test_nothing_is_asked_without_consent(avgzsl, server, mini, monkeypatch, tmp_path, typed, agreed):
    (tmp_path / "typed").write_text(typed)
    with (tmp_path / "typed").open() as keyboard:
        monkeypatch.setattr("sys.stdin", keyboard)
        code, _, err = avgzsl("text", "describe", "mini", "--model", "m", "--endpoint", server.url)
    assert (code == 0, len(server.asked)) == (agreed, len(mini) * agreed)
    assert agreed or err.endswith(f"{'' if typed else chr(10)}error: nothing was asked; answer y, or give --yes\n")


# a server that misbehaves


def test_what_passes_is_asked_again_after_a_while(describe, mini, server):
    deeds = [[status(429)], [status(429, Retry_After="1.5")], [status(500)], [cut], [cut_within], [slow(3)], [status(503)] * 3]
    server.script = dict(zip(mini, deeds, strict=False))
    code, _, err = describe("--timeout", "1", "--concurrency", "20")
    assert code == 0, err
    times = [[at for name, *_, at in server.asked if name == own] for own in mini]
    assert [len(each) for each in times] == [2] * 6 + [4] + [1] * (len(mini) - 7)
    pauses = [[later - sooner for sooner, later in pairwise(each)] for each in times]
    assert pauses[0][0] > 0.3
    assert 1.5 <= pauses[1][0] < 2.5
    assert pauses[6][0] < pauses[6][1] < pauses[6][2]
    assert packs.find("m", "mini", datasets.get("mini").classes("main")).entries[mini[5]] == entry(mini[5])


REFUSALS = {
    "refuses a request without a key; set $OPENAI_API_KEY (401)": status(401),
    "does not answer as model 'm' (404: no such model)": status(404, "no such model"),
    "does not answer as model 'm' (400: too hot)": status(400, "too hot"),
    "answers 500: on fire in 2 tries; what was answered is kept": status(500, "on fire"),
    "answers 429: no money, and asks to wait 4000 s": status(429, "no money", Retry_After="4000"),
    "cannot be reached, or cut the connection in 2 tries": cut,
    "did not answer in 0.3 s in 2 tries": slow(2),
}


@pytest.mark.parametrize("said", REFUSALS)
def test_a_server_that_stays_so_is_one_line(describe, mini, server, said):
    server.script[mini[4]] = [REFUSALS[said]] * 9
    assert said in failed(describe("--retries", "1", "--timeout", "0.3", "--concurrency", "1"))
    assert [line["class"] for line in log()] == mini[:4]
    assert not pack_path().exists()
    server.script, server.asked = {}, []
    assert describe()[0] == 0
    assert sorted(server.names()) == sorted(mini[4:])


def test_what_a_server_says_is_cut_short_and_what_it_counts_is_checked(describe, mini, server):
    server.script[mini[0]] = [status(404, "no such model, " * 40)]
    assert len(failed(describe("--concurrency", "1"))) < 400
    code, answer = good(mini[0])
    server.script[mini[0]] = [(code, {**answer, "usage": {"prompt_tokens": "many", "completion_tokens": None}})]
    assert describe()[0] == 0
    assert next(line["tokens"] for line in log() if line["class"] == mini[0]) == [0, 0]


def test_nobody_there_is_one_line(avgzsl, mini):
    outcome = avgzsl("text", "describe", "mini", "--model", "m", "--endpoint", "http://127.0.0.1:9/v1", "--yes", "--retries", "0")
    assert "127.0.0.1:9 cannot be reached, or cut the connection; what was answered is kept" in failed(outcome)


# a model that answers badly

BAD = [
    ("the answer holds no JSON object", lambda name: reply("I would rather not.")),
    ("the answer holds no JSON object", lambda name: reply(None)),
    ("the answer was cut off before its end", lambda name: reply('{"definition": "half', finish="length")),
    ("the answer has the keys 'what', 'looks'; they should be", lambda name: reply('{"what": "x", "looks": "y"}')),
    ("the answer has the keys 'definition', 'appearance'; they", lambda name: changed(name, sound=None)),
    ("appearance is empty", lambda name: changed(name, appearance=" \n")),
    ("sound is empty", lambda name: changed(name, sound=["a", "list"])),
    ("sound is not in English (it reads as 'de')", lambda name: changed(name, sound=GERMAN)),
    (
        "sound has 4 sentences; 1 to 3 are wanted",
        lambda name: changed(name, sound="One hears a bang. It is so loud. Again. Bang!"),
    ),
    ("sound does not end as a sentence does", lambda name: changed(name, sound=entry(name)["sound"][:-1])),
    ("definition has 3 words; at least 8 are wanted", lambda name: changed(name, definition="It is fun.")),
    ("CLIP tokens, and 77 fit; it must be shorter", lambda name: changed(name, definition=LONG + "it is.")),
    ("sound is the same text as the appearance", lambda name: changed(name, sound=entry(name)["appearance"].title())),
    ("sound holds a character that is no text", lambda name: changed(name, sound=entry(name)["sound"] + "\x92")),
    ("sound holds a character that is no text", lambda name: changed(name, sound=entry(name)["sound"] + "\ud83d")),
]
NO_COMPLETION = [raw(b'{"id": '), raw(b"<html>", "text/html"), raw(b"{}"), raw(b"\xff\xfe"), raw(b'{"choices": [1]}')]


def test_an_unusable_answer_is_asked_for_again_with_what_was_wrong(describe, mini, server):
    server.script = {name: [bad(name)] for name, (_, bad) in zip(mini, BAD, strict=True)}
    code, _, err = describe()
    assert code == 0, err
    for name, (fault, _) in zip(mini, BAD, strict=True):
        first, second = [line for line in log() if line["class"] == name]
        assert fault in first["faults"][0]
        question, *rest = second["prompt"]
        assert [question] == first["prompt"]
        if first["answer"]:
            assert [part["role"] for part in rest] == ["assistant", "user"]
            assert first["answer"] == rest[0]["content"]
            assert f"- {first['faults'][0]}\n" in rest[1]["content"]
    assert packs.find("m", "mini", datasets.get("mini").classes("main")).entries == {name: entry(name) for name in mini}


def test_what_is_no_completion_is_asked_for_again(describe, mini, server):
    server.script = {name: [bad] for name, bad in zip(mini, NO_COMPLETION, strict=False)}
    code, _, err = describe()
    assert code == 0, err
    faulty = {line["class"]: line["faults"] for line in log() if line["faults"]}
    assert sorted(faulty) == sorted(mini[: len(NO_COMPLETION)])
    assert set(map(str, faulty.values())) == {"['the answer is not the JSON of a chat completion']"}


def test_two_classes_do_not_share_a_text(describe, mini, server):
    server.script[mini[3]] = [changed(mini[3], sound=entry(mini[1])["sound"])]
    assert describe("--concurrency", "1")[0] == 0
    assert [line["faults"] for line in log() if line["faults"]] == [[f"sound is the same text as the sound of {mini[1]!r}"]]


def test_a_class_without_a_usable_answer_is_named_and_nothing_half_written(describe, mini, server):
    server.script[mini[2]] = [changed(mini[2], sound=GERMAN)] * 2
    line = failed(describe("--tries", "2"))
    assert f"m gave no usable answer on class {mini[2]!r} in 2 tries: the sound is not in English" in line
    assert not pack_path().exists()
    server.asked = []
    assert describe("--tries", "2")[0] == 0
    assert server.names() == [mini[2]]
    assert pack_path().exists()


def test_a_model_that_is_always_wrong_is_given_up_early(describe, mini, server):
    server.always = reply("no")
    line = failed(describe("--tries", "2", "--concurrency", "1"))
    assert "(and 4 more classes)" in line
    assert len(server.asked) in (5 * 2, 5 * 2 + 1)  # the sixth may be under way
