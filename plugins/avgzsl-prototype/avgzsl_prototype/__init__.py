"""What this plugin registers. Targets are texts, imported when used, so that `avgzsl --help` stays fast."""

from collections.abc import Callable

from avgzsl_bench import hookimpl


@hookimpl
def register_methods(register: Callable[[str, str], None]) -> None:
    register("prototype", "avgzsl_prototype.members:Prototype")


@hookimpl
def register_losses(register: Callable[[str, str], None]) -> None:
    register("focal", "avgzsl_prototype.members:Focal")


@hookimpl
def register_encoders(register: Callable[[str, str], None]) -> None:
    register("letters", "avgzsl_prototype.members:Letters")
