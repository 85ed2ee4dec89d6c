"""Every export computes what the surrogate does."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from qdllm import TextStudent, TextSurrogate
from qdllm.encoders import TransformerEncoder
from qdllm.errors import ConfigError
from qdllm.student import Student
from qdllm.surrogate import compile_student
from qdllm.surrogate.exports import text_to_onnx, to_c, to_onnx, to_python, write_npz

MAIN = """
#include <stdio.h>
#include "student.h"

int main(void) {
    float features[QDLLM_FEATURES];
    double logits[QDLLM_CLASSES];
    int i;
    for (;;) {
        for (i = 0; i < QDLLM_FEATURES; i++)
            if (scanf("%f", &features[i]) != 1) return 0;
        qdllm_logits(features, logits);
        for (i = 0; i < QDLLM_CLASSES; i++) printf("%.9g ", logits[i]);
        printf("%s\\n", qdllm_class_name(qdllm_predict(features)));
    }
}
"""


def _run(*command, text="", cwd=None):
    return subprocess.run(
        [*map(str, command)], input=text, cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_c_header_compiles_without_a_warning_and_agrees(surrogate, features, tmp_path):
    (tmp_path / "student.h").write_text(to_c(surrogate), encoding="utf-8")
    (tmp_path / "main.c").write_text(MAIN)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    _run("cc", *flags, "main.c", "-o", "main", "-lm", cwd=tmp_path)
    rows = features.astype(np.float32)
    text = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in rows)
    lines = _run(tmp_path / "main", text=text).splitlines()
    logits = np.array([line.split(" ", 3)[:3] for line in lines], dtype=float)
    np.testing.assert_allclose(logits, surrogate.decision_logits(rows), atol=1e-4)
    assert [line.split(" ", 3)[3] for line in lines] == surrogate.predict(rows).tolist()


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_class_names_of_any_kind_reach_c(make_student, tmp_path):
    names = ['"quoted"', "question??/", "日本語\\n"]
    surrogate = compile_student(make_student(0.1, n_features=1, classes=names), 0.5)
    (tmp_path / "student.h").write_text(to_c(surrogate), encoding="utf-8")
    source = '#include <stdio.h>\n#include "student.h"\nint main(void) {\n'
    source += "".join(f"    puts(qdllm_class_name({i}));\n" for i in range(3)) + "    return 0;\n}\n"
    (tmp_path / "names.c").write_text(source)
    _run("cc", "-std=c99", "-Wall", "-Werror", "names.c", "-o", "names", "-lm", cwd=tmp_path)
    assert _run(tmp_path / "names").splitlines() == names


def test_the_numpy_script_stands_alone_and_agrees(surrogate, features, tmp_path):
    script = write_npz(surrogate, tmp_path / "student.npz")
    source = script.read_text()
    assert len(source.splitlines()) <= 40
    assert "import qdllm" not in source
    np.save(tmp_path / "x.npy", features)
    found = _run(sys.executable, "-I", script, tmp_path / "x.npy").splitlines()
    assert found == surrogate.predict(features).tolist()
    names: dict = {"__name__": "not main"}
    exec(compile(source, str(script), "exec"), names)
    logits = names["logits"](dict(np.load(tmp_path / "student.npz")), features)
    np.testing.assert_allclose(logits, surrogate.decision_logits(features), atol=1e-4)


def test_the_onnx_graph_agrees(surrogate, features):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = to_onnx(surrogate)
    session = runtime.InferenceSession(model.SerializeToString())
    rows = features.astype(np.float32)
    logits, probabilities = session.run(["logits", "probabilities"], {"features": rows})
    np.testing.assert_allclose(logits, surrogate.decision_logits(features), atol=1e-4)
    np.testing.assert_allclose(probabilities, surrogate.predict_proba(features), atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["classes"].split("\n") == surrogate.classes_.tolist()
    assert "complex" not in str(model).lower()


def test_an_encoder_goes_before_it_in_one_graph(tiny_bert, make_student, fresh_cache):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    tokenizers = pytest.importorskip("tokenizers")
    encoder = TransformerEncoder(tiny_bert)
    surrogate = compile_student(make_student(n_features=24), 0.05)
    model = text_to_onnx(surrogate, encoder)
    session = runtime.InferenceSession(model.SerializeToString())
    tokenizer = tokenizers.Tokenizer.from_file(str(encoder.tokenizer_file))
    texts = ["A joy from the first scene.", "dull", "Stocks fell sharply on Monday after the bank's report."]
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(texts)
    given = {
        "input_ids": np.array([e.ids for e in encoded]),
        "attention_mask": np.array([e.attention_mask for e in encoded]),
    }
    (logits,) = session.run(["logits"], given)
    import torch

    from qdllm.models import hidden_states, load_encoder

    exact = hidden_states(*load_encoder(tiny_bert, dtype=torch.float32), texts, [3], "mean")
    np.testing.assert_allclose(logits, surrogate.decision_logits(exact), atol=1e-4)


@pytest.fixture(scope="module")
def ngram_student(tmp_path_factory):
    words = {"sport": "match team goal season coach", "market": "shares profit bank oil price"}
    rng = np.random.default_rng(0)
    labels = [["sport", "market"][i % 2] for i in range(120)]
    texts = [" ".join(rng.choice(words[label].split(), 6)) for label in labels]
    student = TextStudent(teacher=None, encoder="ngrams", student=Student(n_qubits=3, epochs=20))
    student.fit([f"{text}, no {i}!" for i, text in enumerate(texts)], labels)
    folder = tmp_path_factory.mktemp("ngrams") / "student"
    student.save_pretrained(folder)
    return TextSurrogate(compile_student(student.student_, 0.01), student.encoder_)


def test_an_ngram_student_is_one_python_file(ngram_student, tmp_path):
    texts = [
        "The TEAM's goal.",
        "shares, profit & oil",
        "ｼｪｱ bank 日本語の株価",
        "",
        "a b c match of the season",
    ]
    script = tmp_path / "student.py"
    script.write_text(to_python(ngram_student), encoding="utf-8")
    found = _run(sys.executable, "-I", script, *texts).splitlines()
    names: dict = {"__name__": "not main"}
    exec(compile(script.read_text(), str(script), "exec"), names)
    model = names["unpack"](names["PACKED"])
    texts = [text for text in texts if text]  # the encoder refuses an empty one
    assert [f for f, t in zip(found, ["a", "b", "c", "", "d"], strict=True) if t] == ngram_student.predict(
        texts
    ).tolist()
    x = ngram_student.encoder.encode(texts)
    np.testing.assert_allclose([names["features"](model, text) for text in texts], x, atol=1e-5)
    exact = ngram_student.surrogate.decision_logits(x)
    np.testing.assert_allclose([names["logits"](model, text) for text in texts], exact, atol=1e-4)


def test_texts_are_hashed_alike_whatever_they_hold(ngram_student):
    from qdllm.encoders.hashing import hash_ngrams

    names: dict = {"__name__": "not main"}
    exec(to_python(ngram_student), names)
    model = names["unpack"](names["PACKED"])
    rng = np.random.default_rng(0)
    codes = [*range(1, 0x250), *range(0xE00, 0xE80), *range(0x2000, 0x2100), *range(0x3000, 0x3100), 0x1F600]
    for _ in range(30):
        text = "".join(chr(code) for code in rng.choice(codes, 60))
        ((_, hashes),) = hash_ngrams([text])
        assert sorted(names["ngrams"](model, text)) == sorted(hashes.tolist())


def test_another_encoder_does_not_go_into_python(make_student):
    from qdllm.encoders import make_encoder

    model = TextSurrogate(compile_student(make_student(), 0.1), make_encoder("tfidf"))
    with pytest.raises(ConfigError, match="only a student on `ngrams`"):
        to_python(model)
