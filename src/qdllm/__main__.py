"""`python -m qdllm` is `qdllm`."""

from qdllm.cli import main

main()
