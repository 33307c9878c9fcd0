"""A language model on this machine, and the command's faults before anything is asked."""

import json
import sys

import pytest
from chat_server import CLASS, entry, failed, log, pack_path

from avgzsl_bench import datasets
from avgzsl_bench.files import data_root
from avgzsl_bench.text import packs
from avgzsl_bench.text.describing import questions
from avgzsl_bench.text.describing.local import ANSWER_TOKENS, Local
from avgzsl_bench.text.models import quiet

pytest_plugins = ("describe_fixtures", "tiny_models")

TEMPLATE = (
    "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
    + "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
LETTERS = [chr(code) for code in range(32, 127)] + ["\n"]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """Writes a tiny random GPT-2 of single letters, with or without a chat template; returns its folder."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    quiet()

    def write(positions=8192, template=None):
        folder = tmp_path_factory.mktemp("causal") / "tiny-model"
        words = {letter: i for i, letter in enumerate(["<end>", "<what>", *LETTERS])}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<what>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<what>")
        fast.chat_template = template
        fast.save_pretrained(folder)
        config = GPT2Config(
            vocab_size=len(words), n_positions=positions, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            GPT2LMHeadModel(config).save_pretrained(folder)
        return folder

    return write


@pytest.fixture
def offline(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("it opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)


def speaking(monkeypatch, say):
    """Let `generate` of every model answer with a text, made of the letters that it was given."""
    import torch
    from transformers import GPT2LMHeadModel

    asked = []

    def generate(self, input_ids, attention_mask, max_new_tokens, pad_token_id, **others):
        letters = ["<end>", "<what>", *LETTERS]
        prompt = "".join(letters[i] for i in input_ids[0])
        asked.append(prompt)
        ids = [letters.index(letter) for letter in say(prompt)][: max_new_tokens - 1]
        return torch.cat([input_ids, torch.tensor([[*ids, 0]])], dim=1)

    monkeypatch.setattr(GPT2LMHeadModel, "generate", generate)
    return asked


def local(avgzsl, folder, *options):
    return avgzsl("text", "describe", "mini", "--local", folder, "--device", "cpu", "--yes", *options)


def test_a_model_that_babbles_is_one_line(avgzsl, mini, offline, tiny_model):
    line = failed(local(avgzsl, tiny_model(), "--tries", "1"))
    assert "tiny-model gave no usable answer on class" in line
    assert "in one try: the answer was cut off after 512 tokens" in line or "holds no JSON object" in line
    assert not pack_path("tiny_model").exists()
    assert all(line["answer"] and line["tokens"][1] <= 512 for line in log("tiny_model"))


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_a_model_that_speaks_writes_a_pack(avgzsl, mini, offline, tiny_model, monkeypatch, template):
    asked = speaking(monkeypatch, lambda prompt: json.dumps(entry(CLASS.search(prompt)[1])))
    code, out, err = local(avgzsl, tiny_model(template=template))
    assert code == 0, err
    pack = packs.find("tiny_model", "mini", datasets.get("mini").classes("main"))
    assert pack.entries == {name: entry(name) for name in mini}
    assert pack.origin.startswith("written by tiny-model (which answered as tiny-model (")
    assert "at this machine" in pack.origin
    assert len(asked) == len(mini)
    starts = [prompt.startswith("<user>You write") and prompt.endswith("<assistant>") for prompt in asked]
    assert all(starts) if template else not any(starts)
    first = log("tiny_model")[0]
    assert first["tokens"] == [len(asked[0]), len(first["answer"]) + 1]
    assert "by tiny-model at this machine" in out


def test_it_is_told_what_was_wrong(avgzsl, mini, offline, tiny_model, monkeypatch):
    def say(prompt):
        return json.dumps(entry(CLASS.search(prompt)[1])) if "cannot be used" in prompt else "what?"

    asked = speaking(monkeypatch, say)
    assert local(avgzsl, tiny_model(template=TEMPLATE))[0] == 0
    assert len(asked) == 2 * len(mini)
    assert "<assistant>what?<user>That answer cannot be used:\n- the answer holds no JSON object\n" in asked[1]


def test_a_model_that_reads_too_little(avgzsl, mini, tiny_model):
    line = failed(local(avgzsl, tiny_model(positions=1024)))
    assert "model 'tiny-model' reads 1024 tokens, and a question with its answer takes 1" in line


def test_an_answer_must_fit_behind_the_longest_question(avgzsl, mini, tiny_model, monkeypatch):
    speaking(monkeypatch, lambda prompt: json.dumps(entry(CLASS.search(prompt)[1])))
    asked = questions.of_classes("mini", datasets.get("mini").classes("main"))
    whole = max(map(len, asked.values())) + len("\n\n") + ANSWER_TOKENS
    assert f"reads {whole - 1} tokens" in failed(local(avgzsl, tiny_model(positions=whole - 1)))
    assert local(avgzsl, tiny_model(positions=whole))[0] == 0


def test_the_folder_one_is_in_has_a_name_too(tiny_model, monkeypatch):
    monkeypatch.chdir(tiny_model())
    assert Local(".").model == "tiny-model"


def test_a_model_that_is_not_here(refused, empty_hub):
    said = refused("text", "describe", "demo", "--local", "org/model", "--yes")
    assert "model 'org/model' is neither a folder nor in the hub cache of this machine; `hf download org/model` gets it" in said


def test_a_folder_without_a_model(refused, tmp_path):
    assert "holds no model" in refused("text", "describe", "demo", "--local", tmp_path, "--yes")


def test_a_model_that_cannot_be_loaded(avgzsl, mini, tiny_model):
    folder = tiny_model()
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert "is no causal language model that can be loaded" in failed(local(avgzsl, folder))


def test_a_model_that_would_be_made_up_in_part(avgzsl, mini, tiny_bert):
    line = failed(local(avgzsl, tiny_bert))
    assert "is no causal language model that can be loaded (ValueError: it lacks cls.predictions." in line


# the command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo"], "no model is named; give --model NAME of a server's, or --local FOLDER"),
        (["dmo", "--model", "m"], "unknown dataset 'dmo'; did you mean demo?"),
        (["demo", "--local", ".", "--model", "m"], "--model is of a server, and --local asks none"),
        (["demo", "--local", ".", "--price-in", "1", "--price-out", "1"], "--price-in is of a server, and --local asks none"),
        (["demo", "--local", ".", "--endpoint", "http://x/v1"], "--endpoint is of a server, and --local asks none"),
        (["demo", "--model", "m", "--device", "cpu"], "--device goes with --local"),
        (["demo", "--local", ".", "--device", "abacus"], "device 'abacus' is not to be had here"),
        (["demo", "--model", "m", "--name", "names"], "pack name 'names' is taken"),
        (["ucf", "--model", "m", "--name", "My Pack"], "pack 'My Pack' is no plain name"),
    ],
)
def test_a_wrong_call_is_one_line(refused, monkeypatch, words, said):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert said in refused("text", "describe", *words, "--yes")


@pytest.mark.parametrize("library", ["openai", "py3langid"])
def test_a_missing_library_is_one_line_with_the_extra(refused, server, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    said = refused("text", "describe", "demo", "--model", "m", "--endpoint", server.url, "--yes")
    assert f"{library} is not installed; `pip install 'avgzsl-bench[describe]'` brings it" in said


def test_a_folder_that_cannot_be_written_is_noticed_before_anything_is_asked(describe, server):
    data_root().mkdir(parents=True)
    (data_root() / "packs").write_text("in the way")
    assert "in the way; move it" in failed(describe(dataset="demo"))
    assert server.asked == []


def test_a_disk_that_takes_no_pack_keeps_the_answers(describe, mini, server, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert "No space left" in failed(describe())
    assert len(log()) == len(mini)
    assert not pack_path().exists()
    server.asked = []
    assert describe()[0] == 0
    assert server.asked == []
    assert pack_path().is_file()
