"""Parts of `qdllm bench student`."""
