"""What each exit code and each error means, what is published then, what most often causes it, and how it is mended.

The one place of these words: `flowpipe explain 3` prints them, and the page of error codes is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowpipe.facts import Explanation, known

_SAFE = "Everything that was published before stays as it was; nothing is half published."


@dataclass(frozen=True)
class Meaning:
    """One way in which a command ends.

    `code` is its exit code and `names` are its errors, as tracebacks and the Python API name them. `causes` are the
    commonest first, `mend` is what to do next, step by step; commands stand in backticks.
    """

    code: int
    names: tuple[str, ...]
    means: str
    published: str
    causes: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its names, and the code."""
        return f"{', '.join(self.names)} (exit code {self.code})" if self.names else f"exit code {self.code}"


MEANINGS: tuple[Meaning, ...] = (
    Meaning(
        code=0,
        names=(),
        means="Everything that was asked for is done, or was up to date already.",
        published="All outputs of all steps that ran.",
        causes=("a run that had nothing to do ends like this, too: its steps are told as up to date",),
        mend=("nothing; `flowpipe show last` tells what ran, and `flowpipe plan` why the next run would do what",),
    ),
    Meaning(
        code=1,
        names=("NodeError",),
        means="A function of yours raised an exception, or returned what its annotation does not say.",
        published=f"The steps that had ended before, and nothing of the step that failed. {_SAFE}",
        causes=(
            "the function meets rows that it was not written for",
            "a file or a service that the function itself opens does not answer",
            "it returns None on one of its paths, or a pandas frame where a Polars frame is annotated",
        ),
        mend=(
            "read the line `at FILE:LINE` of the error; `--debug` shows the whole traceback",
            "look at what goes in: `flowpipe run --select NODE --head 5` publishes nothing",
            "if it fails only now and then, give the node `retry: {attempts: 3}` in its pipeline",
            "run the same command again: what is done is skipped",
        ),
    ),
    Meaning(
        code=1,
        names=("FlowpipeError", "Unreachable"),
        means="A store could not be asked: it does not answer, it refuses, or what is there cannot be read.",
        published=f"The steps that had ended before. {_SAFE}",
        causes=(
            "the server is down, or its host, port or endpoint is wrong",
            "the credentials are wrong or have expired, or may not read",
            "another program holds the DuckDB file open",
            "the store failed run after run and its circuit breaker is open",
        ),
        mend=(
            "try every store at once: `flowpipe doctor`",
            "if a breaker is open, mend the store and `flowpipe breaker reset STORE`",
            "run the same command again: what is done is skipped",
        ),
    ),
    Meaning(
        code=1,
        names=("ClusterLost",),
        means="The Dask or Ray cluster went away while nodes ran on it: its scheduler or head does not answer.",
        published=f"The steps that had ended before. {_SAFE}",
        causes=("the cluster was stopped, or its machine ran out of memory", "the network between was cut"),
        mend=(
            "see whether it is back: `flowpipe doctor`",
            "run the same command again, or on this machine: `flowpipe run --set executor.type=threads`",
        ),
    ),
    Meaning(
        code=1,
        names=("OutOfTime", "DeadlinePassed"),
        means="A step took longer than its pipeline's `timeout:`, or the run longer than its `deadline:`.",
        published=f"The steps that had ended before. {_SAFE}",
        causes=("there is more data than usual", "a store or a service answers slowly", "the bound is too tight"),
        mend=(
            "see what took how long: `flowpipe show last`",
            "give it more time: `flowpipe run --deadline 4h`, or a longer `timeout:`",
            "run the same command again: it goes on where it was stopped",
        ),
    ),
    Meaning(
        code=2,
        names=("ConfigError",),
        means="Something in the project's YAML, modules, graphs or schemas is wrong, or an input is not there.",
        published="Nothing: no step was started, and no row was read.",
        causes=(
            "a key or a name is misspelt: the hint names the nearest that is known",
            "an environment variable of the profile is not set",
            "an input's file or table is not there (yet)",
            "a library of an adapter or executor is not installed: the hint has the install line",
        ),
        mend=(
            "each error begins with file:line:column: mend there what its hint says",
            "see all that is wrong at once: `flowpipe check`",
            "see what the machine and the stores lack: `flowpipe doctor`",
        ),
    ),
    Meaning(
        code=2,
        names=("UsageError",),
        means="The command line is not right: a flag or a name that does not exist, or no project is here.",
        published="Nothing: no step was started.",
        causes=(
            "a pipeline, dataset, run or window is misspelt",
            "the command was given outside the project's folder",
            "the ledger or the project's folder `.flowpipe` cannot be written",
        ),
        mend=(
            "see the names: `flowpipe list`; the windows: `flowpipe plan`; the runs: `flowpipe runs`",
            "see the flags: `flowpipe COMMAND --help`",
            "name the project's folder: `flowpipe COMMAND --project DIR`",
        ),
    ),
    Meaning(
        code=3,
        names=("DataError",),
        means="The data is not what its schema, its contract, its key or its window says.",
        published=f"The steps that had ended before, and nothing of the step with the bad rows. {_SAFE}",
        causes=(
            "rows fail a check of the schema, and `on_invalid: fail` is the default",
            "a column of an input changed its name or type",
            "rows lie outside the step's window, or their window's column is NULL",
            "a key occurs twice, or nothing would be published over a dataset that has rows (`allow_empty`)",
        ),
        mend=(
            "see which checks failed and for how many rows: `flowpipe show last`",
            "look at the rows: `flowpipe run --select NODE --partition WINDOW --head 20`",
            "mend the source or the function; or put bad rows aside with `on_invalid: quarantine` in the catalog",
            "run the same command again: what is done is skipped",
        ),
    ),
    Meaning(
        code=4,
        names=("PublishError",),
        means="Rows that are computed and audited could not be made visible: the store refused, or was not there.",
        published="What is told as published; the rest is kept ready, and the next run publishes it first. "
        "Readers see the old rows until then, never a part of the new ones.",
        causes=(
            "the store may be read but not written by this user",
            "the disk is full, or the server went away",
            "another writer changed the table at the same time",
        ),
        mend=(
            "try to write into every store: `flowpipe doctor`",
            "mend what it shows, then run the same command again: nothing is computed twice",
        ),
    ),
    Meaning(
        code=75,
        names=("LockedError",),
        means="Another run of this project and profile is at work; only one may be at a time.",
        published="Nothing by this command, which did not start; the other run goes on undisturbed.",
        causes=(
            "cron started a run while the one before was still at work",
            "somebody else runs it, or `flowpipe maintain` or `flowpipe clean` is at work",
        ),
        mend=(
            "see who it is and since when: `flowpipe doctor`, `flowpipe runs`",
            "wait for it: `flowpipe run --wait 10m`",
            "never delete the lock file: a lock of a process that died is free by itself",
        ),
    ),
    Meaning(
        code=130,
        names=("Interrupted",),
        means="Ctrl-C (SIGINT) stopped the run; steps that had begun were given up in an orderly way.",
        published=f"The steps that had ended before. {_SAFE}",
        causes=("somebody pressed Ctrl-C",),
        mend=("run the same command again: it goes on where it was stopped",),
    ),
    Meaning(
        code=143,
        names=("Interrupted",),
        means="SIGTERM stopped the run, as systemd, Docker or Kubernetes send it; steps that had begun were given up.",
        published=f"The steps that had ended before. {_SAFE}",
        causes=("the service was stopped, the machine shuts down", "a scheduler's own time limit passed"),
        mend=(
            "run the same command again: it goes on where it was stopped",
            "let flowpipe end in time by itself: `flowpipe run --deadline 2h`",
        ),
    ),
)


def meanings_of(word: str) -> tuple[Meaning, ...]:
    """The meanings of an exit code or of an error's name, in whatever case; none where it is neither.

    >>> [meaning.code for meaning in meanings_of("dataerror")], len(meanings_of("2")), meanings_of("flights")
    ([3], 2, ())
    """
    return tuple(
        meaning
        for meaning in MEANINGS
        if word == str(meaning.code) or word.lower() in {name.lower() for name in meaning.names}
    )


def explanations(word: str) -> list[Explanation]:
    """The same in the form of all explanations."""
    return [
        Explanation(
            "error",
            each.title,
            known([("means", each.means), ("published", each.published), ("causes", each.causes), ("next", each.mend)]),
        )
        for each in meanings_of(word)
    ]


def known_words() -> tuple[str, ...]:
    """Every code and name that has a meaning, each once."""
    words = [word for meaning in MEANINGS for word in (str(meaning.code), *meaning.names)]
    return tuple(dict.fromkeys(words))
