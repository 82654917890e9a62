"""Which errors are tried again, and after how long."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flowpipe.errors import ConfigError, DataError
from flowpipe.executors import ClusterLost, WorkerLost
from flowpipe.executors.retry import Policy, errors_named
from flowpipe.executors.task import NodeTimeout
from flowpipe.executors.travelling import RemoteError, TravellingError
from flowpipe.modules import ProjectCode
from flowpipe.running import RetryConfig
from flowpipe.validation import MalformedError

MANY = {"attempts": 9, "wait": "2s"}


@pytest.fixture
def code(tmp_path: Path) -> ProjectCode:
    """A project with exceptions of its own."""
    folder = tmp_path / "pipelines"
    (folder / "sub").mkdir(parents=True)
    (folder / "rates.py").write_text(
        "import flowpipe.errors\n\n\n"
        "class RateLimited(Exception): ...\n\n\nclass Busy(RateLimited): ...\n\n\n"
        "class Lost(ConnectionError): ...\n\n\nclass Settings(flowpipe.errors.FlowpipeError): ...\n"
    )
    (folder / "sub" / "deep.py").write_text("import rates\n\n\nclass Deep(rates.RateLimited): ...\n")
    (folder / "broken.py").write_text("import nothing_like_it\n")
    return ProjectCode(folder)


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({}, [2, 2, 2, 2, 2]),
        ({"max_wait": "1500ms"}, [1.5, 1.5, 1.5, 1.5, 1.5]),
        ({"exponential": True}, [2, 4, 8, 16, 32]),
        ({"exponential": True, "max_wait": "10s"}, [2, 4, 8, 10, 10]),
        ({"exponential": True, "wait": "0s"}, [0, 0, 0, 0, 0]),
    ],
)
def test_waits(settings: dict[str, object], waits: list[float]) -> None:
    policy = Policy(RetryConfig(**{**MANY, **settings}))
    assert [policy.wait(ValueError(), made) for made in range(1, 6)] == waits


def test_jitter_is_added_at_random() -> None:
    policy = Policy(RetryConfig(**MANY, exponential=True, max_wait="5s", jitter="500ms"))
    for made, base in ((1, 2), (2, 4), (3, 5)):
        waits = [policy.wait(ValueError(), made) or 0 for _ in range(50)]
        assert all(base <= wait <= base + 0.5 for wait in waits)
        assert max(waits) - min(waits) > 0.1


def test_attempts_end() -> None:
    policy = Policy(RetryConfig(attempts=3, wait="2s"))
    assert [policy.wait(ValueError(), made) for made in (1, 2, 3, 4)] == [2, 2, None, None]
    assert Policy(RetryConfig()).wait(ValueError(), 1) is None


@pytest.mark.parametrize(
    ("settings", "error", "is_retried"),
    [
        ({}, ValueError(), True),
        ({}, KeyboardInterrupt(), False),
        ({"errors": ["BaseException"]}, SystemExit(), True),
        ({"errors": ["OSError"]}, ConnectionError(), True),
        ({"errors": ["OSError"]}, ValueError(), False),
        ({"errors": ["OSError"], "not_errors": ["ConnectionError"]}, ConnectionResetError(), False),
        ({"errors": ["OSError"], "not_errors": ["ConnectionError"]}, FileNotFoundError(), True),
        ({"errors": ["TimeoutError"]}, NodeTimeout(), True),
        ({"errors": ["concurrent.futures.TimeoutError"]}, NodeTimeout(), True),
        ({"not_errors": ["TimeoutError"]}, NodeTimeout(), False),
        ({"errors": []}, ValueError(), False),
        ({"errors": ["flowpipe.errors.DataError"]}, DataError("bad rows"), False),
        ({"errors": ["BaseException"]}, ConfigError([]), False),
        ({"errors": ["BaseException"]}, ClusterLost("gone"), False),
    ],
)
def test_which_errors(settings: dict[str, list[str]], error: BaseException, is_retried: bool) -> None:
    assert (Policy(RetryConfig(**MANY, **settings)).wait(error, 1) is not None) == is_retried


def test_a_lost_worker_is_replaced_a_few_times_at_least() -> None:
    never, often = Policy(RetryConfig(errors=[])), Policy(RetryConfig(attempts=4, wait="2s"))
    assert [never.wait(WorkerLost(), made) for made in (1, 2, 3)] == [0, 0, None]
    assert [often.wait(WorkerLost(), made) for made in (3, 4)] == [0, None]


@pytest.mark.parametrize(
    ("settings", "raised", "is_retried"),
    [
        ({"errors": ["rates.RateLimited"]}, "rates:Busy", True),
        ({"errors": ["rates.Busy"]}, "rates:RateLimited", False),
        ({"errors": ["rates.Busy"], "not_errors": ["rates.RateLimited"]}, "sub.deep:Deep", False),
        ({"errors": ["OSError"]}, "rates:Lost", True),
        ({"not_errors": ["OSError"]}, "rates:Lost", False),
        ({}, "rates:Settings", False),
    ],
)
def test_what_cannot_travel_from_a_worker_is_known_by_its_names(
    code: ProjectCode, settings: dict[str, list[str]], raised: str, is_retried: bool
) -> None:
    own = code.load_object(raised)("x")
    own.lock = threading.Lock()
    error = TravellingError.of(own).error()
    assert isinstance(error, RemoteError)
    assert not isinstance(error, type(own))
    assert (Policy(RetryConfig(**MANY, **settings), code).wait(error, 1) is not None) == is_retried


def test_an_error_of_a_user_may_have_names_of_its_own() -> None:
    error = ValueError()
    error.names = 3  # type: ignore[attr-defined]  # as users do
    assert Policy(RetryConfig(**MANY, errors=["OSError"])).wait(error, 1) is None


def test_exceptions_of_the_project(code: ProjectCode) -> None:
    limited, deep = errors_named(["rates.RateLimited", "sub.deep.Deep"], code)
    assert issubclass(deep, limited)
    assert limited is code.load("rates").RateLimited
    policy = Policy(RetryConfig(**MANY, errors=["rates.RateLimited"]), code)
    assert (policy.wait(deep(), 1), policy.wait(ValueError(), 1)) == (2, None)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("ConectionError", 'unknown exception "ConectionError"', 'did you mean "ConnectionError"?'),
        ("int", 'unknown exception "int"', "name a builtin exception, or write module.Name"),
        ("", 'unknown exception ""', "name a builtin exception, or write module.Name"),
        (
            "rates.RateLimitd",
            'unknown exception "rates.RateLimitd"',
            'did you mean "rates.RateLimited"? known: rates.Busy, rates.Lost, rates.RateLimited, rates.Settings',
        ),
        ("rate.RateLimited", 'unknown exception "rate.RateLimited"', 'did you mean "rates.RateLimited"?'),
        ("zzyzx.Error", 'unknown exception "zzyzx.Error"', "No module named 'zzyzx'"),
        ("keyword.Error", 'unknown exception "keyword.Error"', "name a builtin exception, or write module.Name"),
    ],
)
def test_an_unknown_one(code: ProjectCode, name: str, message: str, hint: str) -> None:
    with pytest.raises(MalformedError) as caught:
        errors_named([name], code)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_module_that_cannot_be_imported(code: ProjectCode) -> None:
    with pytest.raises(ConfigError) as caught:
        errors_named(["broken.Error"], code)
    assert str(caught.value).startswith("pipelines/broken.py:1: broken cannot be imported: ModuleNotFoundError")
