"""The loader survives strangers, names whose fault a problem is, and says what an unknown name could have meant."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError

HEAD = "from avgzsl_bench import hookimpl\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write a distribution (module, metadata, one entry point) into a site folder of this test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("AVGZSL_PLUGINS", raising=False)
    before = set(sys.modules)

    def write(name: str, source: str, version: str = "1.0", point: str = "") -> None:
        module = name.replace("-", "_")
        (site / f"{module}.py").write_text(HEAD + dedent(source))
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[avgzsl_bench]\n{point or name} = {module}\n")
        plugins.registry.cache_clear()

    plugins.registry.cache_clear()
    yield write
    plugins.registry.cache_clear()
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and Path(str(sys.modules[module].__file__)).is_relative_to(site):
            del sys.modules[module]


def registering(kind: str, name: str, target: str) -> str:
    return f"""
        @hookimpl
        def register_{kind}(register):
            register({name!r}, {target!r})
        """


GOOD = (
    registering("methods", "mine", "good:Mine")
    + """
        from avgzsl_bench import Method
        class Mine(Method):
            pass
        """
)


def problem(name: str) -> str:
    return {plugin.name: plugin.problem for plugin in plugins.registry().plugins}[name]


def test_a_stranger_registers_and_loads(install):
    install("good", GOOD)
    assert plugins.find("methods", "mine").distribution == "good 1.0"
    assert plugins.load("methods", "mine").__name__ == "Mine"
    assert problem("good") == ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("raise SystemExit('not today')", "SystemExit: not today"),
        ("def broken(:\n    pass", "SyntaxError"),
        ("@hookimpl\ndef run_started(runn):\n    pass", "runn"),
        ("@hookimpl\ndef register_methods(register):\n    raise SystemExit(3)", "register_methods: SystemExit: 3"),
        ("@hookimpl\ndef register_method(register):\n    pass", "unknown hook 'register_method'"),
    ],
    ids=["import error", "exit at import", "syntax error", "misspelt argument", "exit in a hook", "misspelt hook"],
)
def test_a_broken_plugin_is_named_and_stops_nothing_else(install, source, said):
    install("bad", source)
    install("good", GOOD)
    assert said in problem("bad")
    assert "\n" not in problem("bad")
    assert problem("good") == ""
    assert "mine" in plugins.names("methods")
    assert "hashed" in plugins.names("encoders")


def test_a_registrar_that_fails_halfway_keeps_what_it_registered(install):
    install(
        "half",
        """
        @hookimpl
        def register_methods(register):
            register("first", "half:First")
            raise ValueError("second")
        @hookimpl
        def register_losses(register):
            register("other", "half:Other")
        """,
    )
    assert problem("half") == "register_methods: ValueError: second"
    assert plugins.find("methods", "first").distribution == plugins.find("losses", "other").distribution == "half 1.0"


def test_a_plugin_that_cannot_be_registered_gets_no_events(install):
    install(
        "bad",
        """
        seen = []
        @hookimpl
        def epoch_finished(run, epoch, logs):
            seen.append(epoch)
        @hookimpl
        def run_started(runn):
            pass
        """,
    )
    assert "runn" in problem("bad")
    plugins.Events().emit("epoch_finished", run={}, epoch=1, logs={})
    assert sys.modules["bad"].seen == []


def test_the_loader_says_where_to_look(install, caplog):
    install("bad", "1 / 0")
    plugins.registry()
    assert [record.getMessage() for record in caplog.records] == [
        "plugin bad (bad 1.0) is skipped: ZeroDivisionError: division by zero; see `avgzsl plugin list`"
    ]


def test_a_built_in_wins_and_the_newcomer_is_shadowed(install):
    install("thief", registering("encoders", "hashed", "thief:Hashed"))
    assert plugins.find("encoders", "hashed").distribution == plugins.BUILT_IN
    _, newcomer = plugins.registry().members["encoders"]["hashed"]
    assert newcomer.distribution == "thief 1.0"
    assert plugins.shadowed(newcomer)
    assert not plugins.shadowed(plugins.find("encoders", "hashed"))


def test_using_a_contested_name_names_both_owners(install):
    install("one", registering("methods", "twice", "one:A"))
    install("two", registering("methods", "twice", "two:B") + registering("losses", "free", "two:C"))
    assert plugins.find("losses", "free").distribution == "two 1.0"
    with pytest.raises(AvgzslError, match=r"'twice' is claimed by one 1\.0 and two 1\.0; .*AVGZSL_PLUGINS"):
        plugins.find("methods", "twice")


def test_of_two_entry_points_with_one_name_the_second_is_a_problem(install):
    install("one", registering("methods", "a", "one:A"), point="same")
    install("two", registering("methods", "b", "two:B"), point="same")
    first, second = [plugin for plugin in plugins.registry().plugins if plugin.name == "same"]
    assert (first.distribution, first.problem) == ("one 1.0", "")
    assert second.distribution == "two 1.0"
    assert "same" in second.problem
    assert "a" in plugins.names("methods")
    assert "b" not in plugins.names("methods")


def test_the_list_shows_what_each_registers_and_what_is_wrong(install, monkeypatch, capsys):
    from avgzsl_bench.cli import plugin

    monkeypatch.setenv("COLUMNS", "200")
    install("bad", "import no_such_module_anywhere")
    install("empty", "")
    install("one", registering("methods", "twice", "one:A") + registering("encoders", "hashed", "one:B"))
    install("two", registering("methods", "twice", "two:B"))
    plugin.list_()
    lines = {line.split()[0]: " ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["bad"] == "bad bad 1.0 nothing ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert lines["empty"] == "empty empty 1.0 nothing"
    assert "method twice, encoder hashed hashed is shadowed by the built-in of that name" in lines["one"]
    assert "twice is also claimed by two 1.0" in lines["one"]
    assert lines["two"] == "two two 1.0 method twice twice is also claimed by one 1.0"


def test_the_list_without_plugins_says_how_to_start_one(monkeypatch, capsys):
    from avgzsl_bench.cli import plugin

    monkeypatch.setenv("AVGZSL_PLUGINS", "")
    plugins.registry.cache_clear()
    plugin.list_()
    plugins.registry.cache_clear()
    assert "`avgzsl plugin new NAME` starts one" in capsys.readouterr().out


@pytest.mark.parametrize(("switch", "loaded"), [(None, ["one", "two"]), ("", []), ("two", ["two"]), ("two, one", ["one", "two"])])
def test_the_switch_loads_all_none_or_some(install, monkeypatch, switch, loaded):
    install("one", registering("methods", "a", "one:A"))
    install("two", registering("methods", "b", "two:B"))
    if switch is not None:
        monkeypatch.setenv("AVGZSL_PLUGINS", switch)
    plugins.registry.cache_clear()
    assert [plugin.name for plugin in plugins.registry().plugins if plugin.name in ("one", "two")] == loaded
    assert "hashed" in plugins.names("encoders")


def test_an_unknown_name_gets_near_matches_and_the_command():
    with pytest.raises(AvgzslError, match=r"unknown encoder 'hashd'; did you mean hashed\? `avgzsl list encoders` lists them"):
        plugins.find("encoders", "hashd")
    with pytest.raises(AvgzslError, match=r"unknown encoder 'zzzz'; `avgzsl list"):
        plugins.find("encoders", "zzzz")


@pytest.mark.parametrize(
    ("target", "said"),
    [("nowhere_module:A", "nowhere_module"), ("odd:Missing", "Missing"), ("odd:Loss", "not a Method"), ("odd", "attribute")],
)
def test_a_target_that_cannot_be_used_names_its_distribution(install, target, said):
    install("odd", registering("methods", "odd", target) + "\n        from avgzsl_bench.contracts import Loss")
    with pytest.raises(AvgzslError, match=f"method 'odd' of odd 1.0 .*{said}") as raised:
        plugins.load("methods", "odd")
    assert "\n" not in str(raised.value)


def test_an_event_hook_that_raises_is_logged_once_and_left_out(install, caplog):
    install("noisy", "@hookimpl\ndef epoch_finished(run, epoch, logs):\n    raise ValueError('no disk')")
    install("calm", "@hookimpl\ndef check_record(record):\n    return ['fine']")
    events = plugins.Events()
    for epoch in (1, 2):
        events.emit("epoch_finished", run={}, epoch=epoch, logs={})
    assert [record.getMessage() for record in caplog.records] == [
        "plugin noisy failed in epoch_finished and is left out of this run: ValueError: no disk"
    ]
    assert events.emit("check_record", record={}) == [["fine"]]


def test_every_built_in_file_is_registered_without_importing_it():
    for kind, package in plugins.FOLDERS.items():
        folder = Path(plugins.__file__).parent.joinpath(*package.split("."))
        files = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
        assert files <= set(plugins.names(kind)), kind
