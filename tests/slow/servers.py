"""An application behind uvicorn, in a thread of this process."""

import threading
import time
from contextlib import contextmanager

from qdllm.serve import open_socket


@contextmanager
def running(app):
    """Serve until the block ends; yields the address."""
    import uvicorn

    with open_socket("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
