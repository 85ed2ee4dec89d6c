"""Parts of `qdllm bench chips`."""
