"""Two-stage distillation of a transformer's inside into fewer layers, after TinyBERT.

Jiao et al. 2020 (arXiv 1909.10351), task-specific distillation: first hidden states and attention, then
predictions. Its general distillation on a large corpus and its data augmentation are left out: the student
begins with every other layer of the pretrained teacher.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qdllm.compare.baselines.training import Objective, TextBatch, distillation, train_on_texts
from qdllm.compare.baselines.transformer import PretrainedContender, TextClassifier, plan_of
from qdllm.compare.task import Fitted, Lesson, Setting
from qdllm.errors import ConfigError

__all__ = ["TinyBert", "attention_distance", "hidden_distance", "layer_map", "matching", "observe"]


class TinyBert(PretrainedContender):
    """Every other layer of a fine-tuned encoder, taught by all of its layers, then by labels and soft labels.

    Three trainings, each with the setting's plan: the whole encoder, as `FineTuned` does it; the hidden
    states and attention of the student towards those of that encoder; the student's predictions, by the loss
    and the soft labels of the comparison rather than by the encoder's predictions. All three count as its
    training time.

    Parameters
    ----------
    model : str
        A pinned asset, a folder or a hub name; an encoder of BERT's kind.
    """

    def __init__(self, model: str) -> None:
        super().__init__(model, "tinybert")

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        teacher, tokens = TextClassifier.load(self.model, lesson, setting, seed)
        student, _ = TextClassifier.load(self.model, lesson, setting, seed, every_other=True)
        plan = plan_of(setting)
        stages = (
            ("teacher", teacher, distillation(teacher, setting)),
            ("layers", student, matching(student.base, teacher.base)),
            ("predictions", student, distillation(student, setting)),
        )
        for name, model, objective in stages:
            train_on_texts(model, objective, lesson, tokens, plan, seed=seed, name=f"{self.name}, {name}")
            model.eval()
        return student.fitted(tokens, lesson)


def matching(student: Any, teacher: Any) -> Objective:
    """Return the loss of the first stage: hidden states and attention of mapped layers, and embeddings.

    The sum of `hidden_distance` of the embeddings and, for every layer of the student, `hidden_distance`
    and `attention_distance` to the teacher's layer by `layer_map`. Student and teacher are of one width
    and one origin, so that no projection stands between their hidden states.

    Parameters
    ----------
    student, teacher
        Encoders of transformers; the teacher is run without dropout or gradients.
    """

    def objective(batch: TextBatch) -> Tensor:
        own = observe(student, batch.ids, batch.mask)
        with torch.no_grad():
            other = observe(teacher, batch.ids, batch.mask)
        layers = layer_map(len(own.scores), len(other.scores))
        losses = [hidden_distance(own.states[i], other.states[j], batch.mask) for i, j in [(0, 0), *layers]]
        losses += [attention_distance(own.scores[i - 1], other.scores[j - 1], batch.mask) for i, j in layers]
        return torch.stack(losses).sum()

    return objective


def layer_map(n_student: int, n_teacher: int) -> list[tuple[int, int]]:
    """Return each student's layer with its teacher's, numbered from 1, at even steps up to the last.

    Examples
    --------
    >>> layer_map(3, 6)
    [(1, 2), (2, 4), (3, 6)]
    """
    return [(layer, math.ceil(layer * n_teacher / n_student)) for layer in range(1, n_student + 1)]


def hidden_distance(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of hidden states, (b, t, d) each, over the tokens of a mask (b, t)."""
    squares = (a - b).square().mean(dim=2)
    return (squares * mask).sum() / mask.sum()


def attention_distance(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of attention scores, (b, heads, t, t) each, over pairs of tokens."""
    pairs = mask[:, :, None] * mask[:, None, :]
    return ((a - b).square().mean(dim=1) * pairs).sum() / pairs.sum()


class Observed(NamedTuple):
    """What happens inside an encoder.

    Attributes
    ----------
    states : tuple of Tensor, each (b, t, d)
        The embeddings, then every layer's output.
    scores : list of Tensor, each (b, heads, t, t)
        Every layer's attention before the softmax: queries times keys over the root of their width.
    """

    states: tuple[Tensor, ...]
    scores: list[Tensor]


def observe(encoder: Any, ids: Tensor, mask: Tensor) -> Observed:
    """Run an encoder and look at its layers.

    Raises
    ------
    ConfigError
        If its attention is not BERT's: a query and a key in every layer.
    """
    with _outputs_of(encoder, "query") as queries, _outputs_of(encoder, "key") as keys:
        states = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    if not len(queries) == len(keys) == len(states) - 1:
        raise ConfigError(f"a {type(encoder).__name__} has no attention like BERT's for tinybert to match")
    heads = encoder.config.num_attention_heads
    pairs = zip(queries, keys, strict=True)
    return Observed(states, [_scores(query, key, heads) for query, key in pairs])


def _scores(query: Tensor, key: Tensor, heads: int) -> Tensor:
    q, k = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key))
    scores: Tensor = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    return scores


@contextmanager
def _outputs_of(encoder: Any, name: str) -> Iterator[list[Tensor]]:
    """Collect what the modules of a name give, in the order in which they run."""
    found: list[Tensor] = []
    modules = [module for path, module in encoder.named_modules() if path.rsplit(".", 1)[-1] == name]
    hooks = [module.register_forward_hook(lambda _m, _i, output: found.append(output)) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
