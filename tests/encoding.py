"""What the tests of the text encoders share: some texts, their vectors by an encoder, and the one line of an error."""

from avgzsl_bench import text

TEXTS = ["play drum", "play the guitar", "archery", "a loud sound of the drum of a guitar", "the soft archery sounds"]


def build(name, settings=None, dataset=""):
    return text.build(name, settings or {}, dataset)[name]


def encode(name, settings=None, texts=TEXTS):
    return build(name, settings).encode(list(texts))


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)
