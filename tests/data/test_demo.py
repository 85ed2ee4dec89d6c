import email
import re
from collections import Counter

import pytest

from qdllm.data import DEMO_TASKS, asset_path, load_demo
from qdllm.data.demo import _email_text
from qdllm.errors import ConfigError, RequestError


def loaded(task: str):
    try:
        asset_path(task)
    except RequestError as error:
        pytest.skip(str(error))
    return load_demo(task)


def test_reviews() -> None:
    data = loaded("reviews")
    assert Counter(data.labels) == {"fresh": 7368, "rotten": 5384}
    assert len(set(data.groups)) == 507


def test_news() -> None:
    data = loaded("news")
    counts = {"business": 503, "entertainment": 369, "politics": 403, "sports": 505, "tech": 347}
    assert Counter(data.labels) == counts
    assert not any("\ufffd" in text for text in data.texts)  # one article is not in UTF-8


def test_spam() -> None:
    data = loaded("spam")
    assert Counter(data.labels) == {"ham": 4108, "spam": 1809}
    route = re.compile(r"[^\n]*\n(Received|X-Spam-Status):", re.IGNORECASE)
    assert not any(route.match(text) for text in data.texts)  # headers would give the class away


def test_asking_for_what_is_not_there(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDLLM_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="no demonstration task 'chess'; there are reviews, news, spam"):
        load_demo("chess")
    for task in DEMO_TASKS:
        with pytest.raises(RequestError, match=f"run `qdllm fetch {task}`"):
            load_demo(task)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"From a Mon\nReceived: by b\nX-Spam: yes\nSubject: Hi\n\nBody \n\n\nend\n", "Hi\nBody\nend"),
        (b"Subject: =?iso-2022-jp?B?GyRCSjg7ehsoQg==?=\n\nx", "文字\nx"),
        (b"Subject: =?nonsense?Q?a=E9?=\nContent-Type: text/plain; charset=none\n\ncaf\xe9\0", "aé\ncafé"),
        (
            b"Subject: S\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n"
            b"<title>no</title><style>no</style><p>A&nbsp;<b>b</b>old=\n er</p><script>no</script>&lt;end",
            "S\nA\xa0bold er\n<end",
        ),
        (
            b'Subject: S\nContent-Type: multipart/alternative; boundary="b"\n\n'
            b"--b\nContent-Type: text/plain\n\nplain\n"
            b"--b\nContent-Type: text/html\n\n<p>html\n"
            b"--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nattached\n--b--\n",
            "S\nplain",
        ),
        (b"Subject:\n\n", ""),
    ],
)
def test_of_an_email_subject_and_body_are_kept(message: bytes, text: str) -> None:
    assert _email_text(email.message_from_bytes(message)) == text
