"""Fixtures: tiny random checkpoints of the text encoders' kinds, and a hub cache with nothing in it."""

import json
import shutil

import pytest

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "play",
    "drum",
    "guitar",
    "archery",
    "the",
    "a",
    "of",
    "sound",
    "##s",
    "loud",
    "soft",
]


@pytest.fixture
def empty_hub(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Settings of the clip encoder for a tiny random model."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny-clip.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("tiny-clip")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "weights.safetensors")
    return {"model": "tiny-clip", "path": str(folder / "weights.safetensors")}


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """The folder of a tiny random BERT of 32 positions, with its WordPiece tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    (folder / "words.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=32)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def sentence_modules(folder, kinds, width, tokens):
    """What sentence-transformers lays beside a transformer: its modules, the mean of the tokens, how many it reads."""
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": tokens, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": width, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.fixture(scope="session")
def tiny_sentences(tiny_bert, tmp_path_factory):
    """The folder of the same BERT as a sentence-transformers model that averages tokens."""
    pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
    folder = tmp_path_factory.mktemp("sentences") / "model"
    shutil.copytree(tiny_bert, folder)
    sentence_modules(folder, ["Transformer", "Pooling"], width=24, tokens=32)
    return folder


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    """The folder of a tiny random GPT-2 of 32 positions, with a byte-level tokenizer that has no padding token."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt2")
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
    )
    pieces.train_from_iterator([" ".join(WORDS[5:])] * 4, trainer)
    PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="<|endoftext|>", model_max_length=32).save_pretrained(folder)
    config = GPT2Config(vocab_size=pieces.get_vocab_size(), n_positions=32, n_embd=24, n_layer=2, n_head=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_instructor(tmp_path_factory):
    """The folder of a tiny random INSTRUCTOR: a T5 encoder of width 24, its mean, a dense layer to 16, length one."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
    folder = tmp_path_factory.mktemp("instructor")
    words = ["Represent", "video", "description", "for", "classification", ":", *WORDS[5:]]
    texts = [("▁" + word, -2.0) for word in words] + [(word, -3.0) for word in words]
    vocabulary = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -9.0),
        *texts,
        *((letter, -8.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"),
    ]
    pieces = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    config = T5Config(vocab_size=len(vocabulary), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        T5EncoderModel(config).save_pretrained(folder)
        dense = torch.randn(16, 24)
    sentence_modules(folder, ["Transformer", "Pooling", "Dense", "Normalize"], width=24, tokens=40)
    linear = {"in_features": 24, "out_features": 16, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text(json.dumps(linear))
    save_file({"linear.weight": dense}, folder / "2_Dense" / "model.safetensors")
    return folder


def to_transformers(state):
    """The text half of an open_clip state dict under the names that transformers gives the same weights."""
    plain = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_projection.weight": state["text_projection"].T,
        **{f"text_model.final_layer_norm.{part}": state[f"ln_final.{part}"] for part in ("weight", "bias")},
    }
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    names["attn.out_proj"] = "self_attn.out_proj"
    for layer in range(TINY_CLIP["text_cfg"]["layers"]):
        old, new = f"transformer.resblocks.{layer}.", f"text_model.encoder.layers.{layer}."
        for part in ("weight", "bias"):
            plain |= {f"{new}{name}.{part}": state[f"{old}{own}.{part}"] for own, name in names.items()}
            joined = state[f"{old}attn.in_proj_{part}"].chunk(3)
            plain |= {f"{new}self_attn.{name}_proj.{part}": own for name, own in zip("qkv", joined, strict=True)}
    return {name: value.clone().contiguous() for name, value in plain.items()}


@pytest.fixture(scope="session")
def tiny_clip_folder(tiny_clip, tmp_path_factory):
    """The folder of the weights of `tiny_clip` as a whole CLIP model of transformers, with open_clip's vocabulary."""
    import open_clip
    import torch
    from safetensors.torch import load_file
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast

    folder = tmp_path_factory.mktemp("clip_folder")
    known = open_clip.tokenizer.SimpleTokenizer()
    ours = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    words = {ours.get(word, word): i for word, i in known.encoder.items()}
    CLIPTokenizerFast(vocab=words, merges=list(known.bpe_ranks), model_max_length=77).save_pretrained(folder)
    text = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 16}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8}
    with torch.random.fork_rng():
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 8}, projection_dim=16))
    left = model.load_state_dict(to_transformers(load_file(tiny_clip["path"])), strict=False)
    assert not left.unexpected_keys
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clap(tmp_path_factory):
    """The folder of a tiny random CLAP text tower of 64 tokens, a token a letter."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import ClapTextConfig, ClapTextModelWithProjection, RobertaTokenizerFast

    folder = tmp_path_factory.mktemp("clap")
    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    RobertaTokenizerFast(vocab={letter: i for i, letter in enumerate(letters)}, merges=[], model_max_length=512).save_pretrained(
        folder
    )
    config = ClapTextConfig(
        vocab_size=len(letters),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        projection_dim=20,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ClapTextModelWithProjection(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_wavcaps(tmp_path_factory):
    """Settings of the clap encoder for a tiny random checkpoint laid out as WavCaps', its vocabulary beside it."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("wavcaps")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bert = BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=40, **sizes), add_pooling_layer=False)
        layers = torch.nn.Sequential(torch.nn.Linear(128, 28), torch.nn.ReLU(), torch.nn.Linear(28, 28))
    state = {f"text_encoder.text_encoder.{name}": value for name, value in bert.state_dict().items()}
    state["text_encoder.text_encoder.embeddings.position_ids"] = torch.arange(40)[None]  # as older libraries wrote it
    state |= {f"text_proj.{name}": value for name, value in layers.state_dict().items()}
    state |= {"audio_proj.0.weight": torch.zeros(2, 2), "temp": torch.tensor(0.07)}
    path = folder / "HTSAT_BERT_zero_shot.pt"
    torch.save({"model": state, "optimizer": {}, "config": {"embed_size": 28}, "epoch": 3}, path)
    return {"model": "wavcaps", "path": str(path)}
