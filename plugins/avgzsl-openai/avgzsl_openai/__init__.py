"""What this plugin registers. The target is a text, imported when used, so that `avgzsl --help` stays fast."""

from collections.abc import Callable

from avgzsl_bench import hookimpl


@hookimpl
def register_encoders(register: Callable[[str, str], None]) -> None:
    register("openai", "avgzsl_openai.encoder:OpenAI")
