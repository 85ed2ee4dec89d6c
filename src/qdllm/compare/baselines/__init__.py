"""Published ways to distil into a text classifier, each a `Contender`."""

from collections.abc import Sequence

from qdllm.compare.baselines.bilstm import BiLstm
from qdllm.compare.baselines.fasttext import FastText
from qdllm.compare.baselines.minillm import MiniLlm
from qdllm.compare.baselines.tfidf_linear import TfidfLinear
from qdllm.compare.baselines.tinybert import TinyBert
from qdllm.compare.baselines.transformer import FineTuned
from qdllm.compare.task import Contender

__all__ = ["BiLstm", "FastText", "FineTuned", "MiniLlm", "TfidfLinear", "TinyBert", "baselines"]


def baselines(models: Sequence[str] = ()) -> list[Contender]:
    """Return every published baseline, those that take longest first, and any Hugging Face models fine-tuned.

    Making a contender imports nothing optional and loads no model: `Contender.check` says what is missing.

    Parameters
    ----------
    models : sequence of str
        Pinned assets, folders or hub names, in the table as "hf:NAME".
    """
    return [
        *(FineTuned(model, f"hf:{model}") for model in dict.fromkeys(models)),
        TinyBert("minilm"),
        MiniLlm("smollm2"),
        FineTuned("minilm", "minilm"),
        FineTuned("minilm", "minilm-half", every_other=True),
        BiLstm("minilm"),
        FastText(),
        TfidfLinear(),
    ]
