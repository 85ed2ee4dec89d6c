"""Texts of two topics, and encoders of each kind."""

from pathlib import Path

import pytest


@pytest.fixture
def sentence_folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A sentence-transformers folder: CLS pooling, normalised, 12 tokens, lower case, a default prompt."""
    import json
    import shutil

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "sentences"))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (folder / "1_Pooling").mkdir()
    contents = {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
        "1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        "sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": True},
        "config_sentence_transformers.json": {"prompts": {"query": "q: "}, "default_prompt_name": "query"},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return folder
