"""Every error qdllm raises on purpose.

::

    QdllmError
    ├── RequestError                 the request was wrong: exit status 2
    │   ├── DataError                a text, a label, a row, a column, a file of data  (ValueError)
    │   ├── ConfigError              an option or a configuration field                (ValueError)
    │   ├── CircuitError             a gate, a circuit, its inputs or parameters       (ValueError)
    │   ├── CredentialsError         a key of a chip's service is missing, expired or refused
    │   ├── SavedModelError          a saved student is missing, truncated or altered  (ValueError)
    │   ├── TooLargeError            more memory than this machine has                 (MemoryError)
    │   └── MissingExtraError        an optional package is not installed              (ImportError)
    └── WorkError                    the request was right, the work failed: exit status 1
        ├── BackendError             a chip or its service is offline, refused, or answered wrongly
        │   └── JobUnknownError      whether a job was accepted is not known; it is not sent again unasked
        ├── FetchError               an asset could not be brought
        │   ├── NetworkError
        │   ├── HashMismatchError
        │   └── DiskFullError
        ├── EndpointError            a model server could not be reached, or kept failing
        │   └── BudgetError          the next request might pass the budget
        ├── TrainingError            training did not lead to finite parameters
        └── InstallError             the compiled kernel does not fit the code         (ImportError)

A message is one line that says what is wrong, where (file, row, column), and what to do.
"""

__all__ = [
    "BackendError",
    "BudgetError",
    "CircuitError",
    "ConfigError",
    "CredentialsError",
    "DataError",
    "DiskFullError",
    "EndpointError",
    "FetchError",
    "HashMismatchError",
    "InstallError",
    "JobUnknownError",
    "MissingExtraError",
    "NetworkError",
    "QdllmError",
    "RequestError",
    "SavedModelError",
    "TooLargeError",
    "TrainingError",
    "WorkError",
    "reason_of",
]


class QdllmError(Exception):
    """Base of every error raised on purpose."""

    exit_status = 1


class RequestError(QdllmError):
    """The request cannot be carried out as it was made."""

    exit_status = 2


class DataError(RequestError, ValueError):
    """A file, row, column, text, label or feature is not usable."""


class ConfigError(RequestError, ValueError):
    """An option or a field of a configuration is not usable."""


class CircuitError(RequestError, ValueError):
    """A gate, circuit, observable, input or parameter is not usable."""


class CredentialsError(RequestError):
    """A key is missing, expired or refused; the message names the environment variable that holds it."""


class SavedModelError(RequestError, ValueError):
    """A saved model folder is missing, truncated, altered or of an unknown version."""


class TooLargeError(RequestError, MemoryError):
    """The request needs more memory than this machine has; said before any is taken."""


class MissingExtraError(RequestError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""


class WorkError(QdllmError):
    """The request was right; carrying it out failed."""


class BackendError(WorkError):
    """A chip or its service is offline, has refused, or has answered what cannot be read."""


class JobUnknownError(BackendError):
    """A job's answer never came and its service cannot be asked; sending it again might pay twice."""


class FetchError(WorkError):
    """An asset could not be brought."""


class NetworkError(FetchError):
    """The package index could not be reached or refused."""


class HashMismatchError(FetchError):
    """A fetched file is not the pinned one."""


class DiskFullError(FetchError):
    """There is no room for the file."""


class EndpointError(WorkError):
    """A model server could not be reached, or gave no usable answer however often it was asked."""


class BudgetError(EndpointError):
    """The next request might pass the budget; what was paid for is kept."""


class TrainingError(WorkError):
    """Training did not lead to finite parameters."""


class InstallError(WorkError, ImportError):
    """The installed compiled kernel does not fit the Python code; the message says how to build it again."""


def reason_of(error: Exception) -> str:
    """Say in one line why something failed: an error's own sentence, or its kind and first line."""
    if isinstance(error, QdllmError):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
