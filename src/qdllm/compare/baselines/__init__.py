"""Published ways to distil into a text classifier, each a `Contender`."""

from collections.abc import Sequence

from qdllm.compare.task import Contender

__all__ = ["baselines"]


def baselines(models: Sequence[str] = ()) -> list[Contender]:
    """Return every published baseline; beside them, Hugging Face models of any path or name, fine-tuned.

    Making a contender imports nothing optional and loads no model: `Contender.check` says what is missing.
    """
    if models:
        raise NotImplementedError
    return []
