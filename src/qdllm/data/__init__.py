"""Texts and labels in, splits out; vectors kept on disk; the pinned real assets that `qdllm fetch` brings."""

from qdllm.data.assets import ASSETS, Asset, asset_path, fetch
from qdllm.data.cache import VectorCache, cache_dir, cached_map
from qdllm.data.corpus import BLOCK_ROWS, Block, Corpus, Piece
from qdllm.data.dataset import MAX_TEXT_CHARS, DuplicateReport, TextDataset, deduplicate, row_id
from qdllm.data.demo import DEMO_TASKS, load_demo
from qdllm.data.readers import read_dataset
from qdllm.data.split import Part, Split, split_dataset

__all__ = [
    "ASSETS",
    "BLOCK_ROWS",
    "DEMO_TASKS",
    "MAX_TEXT_CHARS",
    "Asset",
    "Block",
    "Corpus",
    "DuplicateReport",
    "Part",
    "Piece",
    "Split",
    "TextDataset",
    "VectorCache",
    "asset_path",
    "cache_dir",
    "cached_map",
    "deduplicate",
    "fetch",
    "load_demo",
    "read_dataset",
    "row_id",
    "split_dataset",
]
