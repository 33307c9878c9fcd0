"""What the shell offers for an argument that names something: registered names, found without importing what they name."""

from collections.abc import Iterable
from pathlib import Path

from avgzsl_bench import datasets as data
from avgzsl_bench import files, plugins

RULES = ("corrected", "reference")
SELECTIONS = ("validation", "test")
WIDTHS = ("column", "page")
PACKAGE = Path(plugins.__file__).parent
TEXT = PACKAGE / "text"  # whose code needs numpy to be imported, and whose files' names do not


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def methods(incomplete: str) -> list[str]:
    """Registered methods."""
    return _starting(plugins.names("methods"), incomplete)


def encoders(incomplete: str) -> list[str]:
    """Registered text encoders."""
    return _starting(plugins.names("encoders"), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Registered data sets and the user's own tables."""
    return _starting(data.names(), incomplete)


def texts(incomplete: str) -> list[str]:
    """Class texts: names, and the packs of any data set."""
    built_in = ["descriptions"] if any((TEXT / "descriptions").glob("*.toml")) else []
    return _starting(["names", *built_in, *(path.stem for path in files.data_root().glob("packs/*/*.toml"))], incomplete)


def prompts(incomplete: str) -> list[str]:
    """Prompt sets."""
    return _starting([path.stem for path in (TEXT / "prompts").glob("*.toml")], incomplete)


def launchers(incomplete: str) -> list[str]:
    """Registered launchers."""
    return _starting(plugins.names("launchers"), incomplete)


def renderers(incomplete: str) -> list[str]:
    """Registered formats of the leaderboard."""
    return _starting(plugins.names("renderers"), incomplete)


def rules(incomplete: str) -> list[str]:
    """Rules of the protocol."""
    return _starting(RULES, incomplete)


def reproductions(incomplete: str) -> list[str]:
    """Reproductions."""
    return _starting([path.stem for path in (PACKAGE / "reproduce").glob("*.toml")], incomplete)


def selections(incomplete: str) -> list[str]:
    """What may select epoch and bias."""
    return _starting(SELECTIONS, incomplete)


def widths(incomplete: str) -> list[str]:
    """Widths of a picture."""
    return _starting(WIDTHS, incomplete)


def kinds(incomplete: str) -> list[str]:
    """Kinds of members."""
    return _starting(plugins.FOLDERS, incomplete)


def members(incomplete: str) -> list[str]:
    """Members of any kind."""
    return _starting([*data.names(), *(name for kind in plugins.FOLDERS for name in plugins.names(kind))], incomplete)


def checkable(incomplete: str) -> list[str]:
    """Plugins, and members of any kind."""
    return _starting([*(plugin.name for plugin in plugins.registry().plugins), *members(incomplete)], incomplete)
