"""Every registered member keeps its contract, and none is left unchecked."""

import inspect
from importlib import import_module

import pytest

from avgzsl_bench import plugins
from avgzsl_bench.testing import Skip, checks_of

CHECKS = [check for kind in plugins.FOLDERS for name in plugins.names(kind) for check in checks_of(name, kind)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_contract(check):
    try:
        check()
    except Skip as reason:
        pytest.skip(str(reason))


def questions(kind):
    return import_module(f"avgzsl_bench.testing.{kind}").QUESTIONS


def test_nothing_registered_is_unchecked():
    asked = {(check.kind, check.name, check.question) for check in CHECKS}
    registered = [(kind, name) for kind in plugins.FOLDERS for name in plugins.names(kind)]
    assert len(registered) >= 25
    missing = [(*member, each) for member in registered for each in questions(member[0]) if (*member, each) not in asked]
    assert not missing


def test_every_form_is_checked():
    asked = {(check.name, check.question) for check in CHECKS if check.kind == "methods"}
    formed = [name for name in plugins.names("methods") if "form" in plugins.load("methods", name).Settings.model_fields]
    assert {"kda", "avca", "devise"} <= set(formed)
    assert all((f"{name} (reference)", each) in asked for name in formed for each in questions("methods"))


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_no_question_is_forgotten(kind):
    module = import_module(f"avgzsl_bench.testing.{kind}")
    written = [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_") and name != "subjects"
    ]
    assert set(written) <= set(module.QUESTIONS)
    assert all(inspect.getdoc(question) for question in module.QUESTIONS)
