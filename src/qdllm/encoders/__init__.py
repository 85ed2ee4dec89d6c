"""A text's feature vector: pretrained transformers, TF-IDF, trained n-grams, or several joined; and files."""

from qdllm.encoders.base import Encoder
from qdllm.encoders.features import Features, embed
from qdllm.encoders.joined import JoinedEncoder
from qdllm.encoders.make import load_encoder, make_encoder
from qdllm.encoders.ngrams import NgramEncoder
from qdllm.encoders.tfidf import TfidfEncoder, normalise_text
from qdllm.encoders.transformer import TransformerEncoder

__all__ = [
    "Encoder",
    "Features",
    "JoinedEncoder",
    "NgramEncoder",
    "TfidfEncoder",
    "TransformerEncoder",
    "embed",
    "load_encoder",
    "make_encoder",
    "normalise_text",
]
