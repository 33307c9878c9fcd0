"""Generation that was killed, interrupted or failed goes on; packs that are there stay."""

import os
import signal
import subprocess
import sys
import time

from chat_server import entry, failed, good, log, pack_path, reply, send

from avgzsl_bench import datasets, files
from avgzsl_bench.text import packs

pytest_plugins = ("describe_fixtures",)


def subject(server, **environment):
    """The command in a process of its own, slowed so that it can be stopped on the way."""
    server.pause = 0.2
    words = ["text", "describe", "mini", "--model", "m", "--endpoint", server.url, "--yes", "--concurrency", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "avgzsl_bench", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process, server, number):
    """Send a signal once some classes are answered; returns exit code, output and the classes that the log holds."""
    path = pack_path().with_suffix("") / "answers.jsonl"
    end = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < 5:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    server.pause = 60.0  # whoever is asked now will not answer in time
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    server.pause, server.asked = 0.0, []
    assert not pack_path().exists()
    return process.returncode, out + err, [line["class"] for line in log()]


def test_killed_it_goes_on_with_what_is_missing(describe, mini, server):
    code, _, answered = stop(subject(server), server, signal.SIGKILL)
    assert code == -signal.SIGKILL
    with (pack_path().with_suffix("") / "answers.jsonl").open("a") as file:
        file.write('{"class": "' + mini[-1] + '", "mod')  # the line that it was writing
    code, out, err = describe()
    assert code == 0, err
    assert f"({len(answered)} are in the log already)" in out
    assert sorted(server.names()) == sorted(set(mini) - set(answered))
    assert 5 <= len(answered) < len(mini)
    assert packs.find("m", "mini", datasets.get("mini").classes("main")).entries == {name: entry(name) for name in mini}
    server.asked = []
    assert describe()[:2] == (0, describe()[1])
    assert server.asked == []


def test_a_torn_line_costs_no_other(tmp_path, caplog):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"class": "a"}\n[1]\n\n{"class": ')
    with files.appending(path) as append:
        append({"class": "b"})
        assert path.read_bytes().endswith(b'{"class": "b"}\n'), "a process that is killed now has kept it"
    assert files.read_log(path) == [{"class": "a"}, {"class": "b"}]
    assert f"2 broken lines of {path} are passed over" in caplog.text


def test_interrupted_it_stops_at_once_in_one_line(describe, mini, server):
    code, said, answered = stop(subject(server), server, signal.SIGINT)
    assert code == 130
    assert said.endswith("error: interrupted; the same command continues where it stopped\n")
    assert "Traceback" not in said
    assert describe()[0] == 0
    assert sorted(server.names()) == sorted(set(mini) - set(answered))


def test_the_questions_do_not_change_from_process_to_process():
    code = (
        "from avgzsl_bench import datasets; from avgzsl_bench.text.describing.questions import of_classes\n"
        "print([of_classes(name, datasets.get(name).classes('main')) for name in ('demo', 'activitynet')])"
    )
    seen = {
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in "123"
    }
    assert len(seen) == 1
    assert len(seen.pop()) > 10_000


def test_another_model_is_asked_anew(describe, avgzsl, mini, server):
    server.script[mini[0]] = [reply("no")] * 3
    failed(describe())
    server.asked = []
    options = ("--endpoint", server.url, "--yes", "--name", "m")
    code, _, err = avgzsl("text", "describe", "mini", "--model", "other/M-2", *options)
    assert code == 0, err
    assert sorted(server.names()) == sorted(mini)
    assert "written by other/M-2" in packs.read(pack_path(), "mini").origin


def test_a_pack_that_is_there_is_left_alone(describe, mini, server):
    path = pack_path()
    path.parent.mkdir(parents=True)
    path.write_text("by hand")
    assert "pack 'm' of mini is there already" in failed(describe())
    assert (path.read_text(), server.asked) == ("by hand", [])


def test_the_name_is_made_of_the_models(avgzsl, mini, server):
    assert avgzsl("text", "describe", "mini", "--model", "org/Big-Model.2", "--endpoint", server.url, "-y")[0] == 0
    assert pack_path("big_model_2").is_file()


def test_two_at_a_time_do_not_ask_twice(describe, mini, server):
    process = subject(server)
    path = pack_path().with_suffix("") / "claim.json"
    while not path.exists() or not path.read_text():
        time.sleep(0.02)
    asked = len(server.asked)
    assert "is being made by another process" in failed(describe())
    assert process.wait(60) == 0
    assert sorted(server.names()) == sorted(mini)
    assert asked < len(mini)


def test_it_stops_when_another_takes_over(describe, mini, server):
    def take_over(handler):
        (pack_path().with_suffix("") / "claim.json").write_text("{}")
        send(handler, *good(mini[3]))

    server.script[mini[3]] = [take_over]
    assert "another process has taken over" in failed(describe("--concurrency", "1"))
    assert [line["class"] for line in log()] == mini[:4]
    assert len(server.asked) < len(mini)
