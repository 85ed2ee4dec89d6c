import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qdllm.encoders import JoinedEncoder, TfidfEncoder, load_encoder, make_encoder
from qdllm.errors import ConfigError, RequestError, SavedModelError

TEXTS = ["The bank raised its rates.", "A late goal won the match.", "日本銀行は金利を据え置いた。", "!?"]
ENCODE = """
import sys, numpy as np
from pathlib import Path
from qdllm.encoders import load_encoder
for folder in sorted(Path(sys.argv[1]).iterdir()):
    encoder = load_encoder(folder)
    np.save(folder / "x.npy", encoder.encode(sys.argv[2:]))
    print(encoder.fingerprint)
"""

pytestmark = pytest.mark.usefixtures("fresh_cache")


@pytest.fixture
def specs(tiny_bert: Path, tiny_llama: Path) -> dict[str, str]:
    return {
        "tfidf": "tfidf",
        "transformer": str(tiny_bert),
        "layer": f"{tiny_llama}@2:mean+last",
        "joined": f"tfidf+{tiny_llama}@3:mean+last+{tiny_bert}",
    }


def test_a_fresh_process_gives_the_same_features(specs: dict[str, str], tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    encoders = {kind: make_encoder(spec, seed=3).fit(TEXTS) for kind, spec in sorted(specs.items())}
    for kind, encoder in encoders.items():
        encoder.save(saved / kind)
    assert {file.suffix for file in saved.rglob("*") if file.is_file()} == {".json", ".safetensors"}
    environment = os.environ | {"QDLLM_CACHE": str(tmp_path / "empty")}  # nothing is taken from the cache
    command = [sys.executable, "-c", ENCODE, saved, *TEXTS]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [encoder.fingerprint for encoder in encoders.values()]
    for kind, encoder in encoders.items():
        x = encoder.encode(TEXTS)
        assert x.shape == (4, encoder.dim)
        np.testing.assert_array_equal(np.load(saved / kind / "x.npy"), x)


def test_joined_features_stand_side_by_side(specs: dict[str, str]) -> None:
    joined = make_encoder(specs["joined"]).fit(TEXTS)
    assert isinstance(joined, JoinedEncoder)
    parts = [make_encoder(spec).fit(TEXTS) for spec in (part.name for part in joined.parts)]
    np.testing.assert_array_equal(joined.encode(TEXTS), np.hstack([part.encode(TEXTS) for part in parts]))
    assert joined.dim == sum(part.dim for part in parts)
    assert joined.n_parameters == sum(part.n_parameters for part in parts)
    assert joined.name == specs["joined"]


def test_the_size_on_disk_is_that_of_all_parts(tiny_bert: Path, tmp_path: Path) -> None:
    joined = make_encoder(f"tfidf+{tiny_bert}").fit(["good film", "bad film", "good food"])
    words, model = joined.parts  # type: ignore[attr-defined]
    words.save(tmp_path / "words")
    assert words.n_bytes == sum(file.stat().st_size for file in (tmp_path / "words").iterdir())
    assert joined.n_bytes == words.n_bytes + model.n_bytes
    texts = ["a good one", "a bad one"]
    np.testing.assert_allclose(joined.encode(texts, cached=False), joined.encode(texts), atol=2e-6)


def test_an_encoder_without_a_model_reads_no_torch() -> None:
    code = (
        "import sys; from qdllm.encoders import make_encoder; make_encoder('tfidf').fit(['a b', 'c d']); "
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"tfidf\+ngrams.*stands alone"):
        make_encoder("tfidf+ngrams")
    with pytest.raises(RequestError, match="qdllm fetch minilm"):
        make_encoder("minilm")
    with pytest.raises(ConfigError, match="no such file or folder"):
        make_encoder("./nowhere/at/all")
    with pytest.raises(ConfigError, match="each of them once"):
        make_encoder("tfidf+tfidf")
    for spec in ("", "tfidf+", "+"):
        with pytest.raises(ConfigError, match="a name is empty"):
            make_encoder(spec)


def test_a_path_may_hold_signs(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a+b@3"
    folder.symlink_to(tiny_bert)
    assert make_encoder(str(folder)).dim == 24


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match=r"config\.json"):
        load_encoder(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"type": "student"}')
    with pytest.raises(SavedModelError, match="not a saved encoder"):
        load_encoder(tmp_path)


def test_a_lost_part_is_noticed(tmp_path: Path) -> None:
    JoinedEncoder([TfidfEncoder().fit(TEXTS), Renamed().fit(TEXTS)]).save(tmp_path / "joined")
    (tmp_path / "joined/part-1/config.json").unlink()
    with pytest.raises(SavedModelError, match=r"part-1"):
        load_encoder(tmp_path / "joined")


class Renamed(TfidfEncoder):
    name = "other"
