"""The log of a run: written at a level with metadata, read and searched, and fed by Python's own logging."""

from __future__ import annotations

import enum
import json
import logging
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamlake import Session
from ml_dash import Experiment, InvalidType, LogHandler, LogLevel, ReadOnly, RunClosed, load

LEVELS = ["debug", "info", "warn", "error", "fatal"]


@pytest.fixture(params=["ml_dash", "dreamlake"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    local: dict[str, Any] = {"local_path": tmp_path / "root"}
    made: Any = Experiment("run", "p", **local).run if request.param == "ml_dash" else Session("run", "p", **local)
    with made as opened:
        yield opened


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """One of its own, that passes nothing on."""
    found = logging.getLogger(request.node.name)
    found.propagate = False
    found.setLevel(logging.DEBUG)
    yield found
    found.handlers.clear()


def close(run: Any) -> None:
    (run.run.complete if isinstance(run, Experiment) else run.close)()


def lines(run: Any) -> list[Any]:
    """What is on disk."""
    return [json.loads(line) for line in Path(run.path, "logs", "logs.jsonl").read_text().splitlines()]


def messages(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["message"] for entry in entries]


# ---------------------------------------------------------------- write


def test_an_entry_has_number_time_level_and_message(run: Any) -> None:
    """And metadata only where there is some; on disk as the published clients write it."""
    assert run.log("started") is None
    run.log("loss is high", level="warn", metadata={"loss": 2.5}, epoch=3)
    entries = run.logs.read()
    assert lines(run) == entries
    assert [list(entry) for entry in entries] == [
        ["sequenceNumber", "timestamp", "level", "message"],
        ["sequenceNumber", "timestamp", "level", "message", "metadata"],
    ]
    assert [entry["sequenceNumber"] for entry in entries] == [0, 1]
    assert [(entry["level"], entry["message"]) for entry in entries] == [("info", "started"), ("warn", "loss is high")]
    assert entries[1]["metadata"] == {"loss": 2.5, "epoch": 3}
    for entry in entries:
        assert entry["timestamp"].endswith("Z")
        datetime.fromisoformat(entry["timestamp"][:-1])


@pytest.mark.parametrize(
    ("given", "level"),
    [
        (None, "info"),
        ("", "info"),
        *((level, level) for level in LEVELS),
        ("INFO", "info"),
        ("Error", "error"),
        ("warning", "warn"),
        ("WARNING", "warn"),
        ("critical", "fatal"),
        ("Critical", "fatal"),
        (LogLevel.WARN, "warn"),
    ],
)
def test_levels_in_any_case(run: Any, given: Any, level: str) -> None:
    run.log("message", level=given)
    assert run.logs.read()[0]["level"] == level


@pytest.mark.parametrize("level", ["verbose", "inf", "information", 20, object(), b"info", ["info"]])
def test_another_level_is_a_value_error_that_lists_them(run: Any, level: Any) -> None:
    """Nothing is written."""
    with pytest.raises(ValueError, match="level: expected one of debug, info, warn, error, fatal; got ") as caught:
        run.log("message", level=level)
    assert repr(level) in str(caught.value)
    with pytest.raises(ValueError, match="expected one of debug"):
        run.logs.read(level=level)
    assert len(run.logs) == 0


def test_the_levels_have_names(run: Any) -> None:
    """(compat) LogLevel.validate and its members."""
    assert [level.value for level in LogLevel] == LEVELS
    assert LogLevel["INFO"] is LogLevel.INFO
    assert LogLevel.validate("FATAL") == "fatal"
    with pytest.raises(ValueError, match="info, warn"):
        LogLevel.validate("loud")


@pytest.mark.parametrize("level", LEVELS)
def test_without_a_message_there_is_a_builder(run: Any, level: str) -> None:
    """Its metadata and that of the level's call join; the later one wins."""
    builder = run.log(metadata={"epoch": 1, "a": 1}, phase="train")
    assert getattr(builder, level)("done", a=2, b=3) is None
    getattr(run.log(), level)(message="by keyword")
    first, second = run.logs.read()
    assert (first["level"], first["message"]) == (level, "done")
    assert first["metadata"] == {"epoch": 1, "a": 2, "phase": "train", "b": 3}
    assert (second["message"], "metadata" in second) == ("by keyword", False)


def test_a_builder_may_be_used_again(run: Any) -> None:
    """One call's metadata is not in the next; nor is what became of the mapping that was given."""
    metadata = {"epoch": 1}
    builder = run.log(metadata=metadata)
    metadata["epoch"] = 2
    builder.info("a", x=1)
    builder.warning("b")
    builder.critical("c")
    assert [(entry["level"], entry["metadata"]) for entry in run.logs.read()] == [
        ("info", {"epoch": 1, "x": 1}),
        ("warn", {"epoch": 1}),
        ("fatal", {"epoch": 1}),
    ]


def test_metadata_may_be_called_anything_but_the_parameters(run: Any) -> None:
    run.log("message", metadata={"message": 1, "level": 2}, name=3)
    assert run.logs.read()[0]["metadata"] == {"message": 1, "level": 2, "name": 3}


@pytest.mark.parametrize(
    ("message", "stored"),
    [("", ""), (5, "5"), (ValueError("no"), "no"), (["a"], "['a']"), ("two\nlines\0", "two\nlines\0"), ("NaN", "NaN")],
)
def test_a_message_is_whatever_has_a_text(run: Any, message: Any, stored: str) -> None:
    run.log(message)
    assert messages(run.logs.read()) == [stored]


def test_metadata_are_values_as_in_a_row(run: Any) -> None:
    """NaN survives, NumPy's scalars are Python's."""

    class Color(enum.Enum):
        RED = "red"

    run.log(
        "m",
        metadata={"a": math.nan, "b": np.float32(0.5), "c": Color.RED, "d": (1, [2]), "e": Decimal("1.5"), "f": "NaN"},
    )
    assert (
        repr(run.logs.read()[0]["metadata"]) == "{'a': nan, 'b': 0.5, 'c': 'red', 'd': [1, [2]], 'e': 1.5, 'f': 'NaN'}"
    )


def test_lone_surrogates_become_the_replacement_character(run: Any) -> None:
    """One each. A log takes what comes: names of files that are no text, cut emoji, in messages and anywhere in metadata."""
    run.log("a\ud800b\udcff", metadata={"k\udc80": ["\udc80", {"x": ("\ud83d!",)}], "path": Path("dir\udcff/file")})
    (entry,) = lines(run)
    assert entry["message"] == "a\ufffdb\ufffd"
    assert entry["metadata"] == {"k\ufffd": ["\ufffd", {"x": ["\ufffd!"]}], "path": "dir\ufffd/file"}
    assert run.logs.read() == [entry]


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ([1], r"log: metadata must be a mapping; got \[1\] of type list"),
        ("text", "log: metadata must be a mapping; got 'text' of type str"),
        ({"a": {"b": [object()]}}, r"log, field 'metadata.a.b\[0\]': a value of type builtins.object"),
        ({"a": {1}}, "log, field 'metadata.a': a value of type builtins.set"),
        ({"a": {1: 2}}, "log, field 'metadata.a': keys must be strings"),
        ({1: 2}, "log, field 'metadata': keys must be strings"),
    ],
)
def test_metadata_that_cannot_be_stored_is_a_type_error(run: Any, metadata: Any, error: str) -> None:
    """It says where; nothing is written."""
    with pytest.raises(TypeError, match=error) as caught:
        run.log("message", metadata=metadata)
    assert isinstance(caught.value, InvalidType)
    assert len(run.logs) == 0


def test_metadata_that_is_too_deep_or_holds_itself_is_refused(run: Any) -> None:
    """The entry is one level, its metadata the next; there is no recursion error, however deep."""

    def deep(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    run.log("as deep as can be", metadata={"a": deep(62)})
    ring: list[Any] = []
    ring += [ring, ring]
    for bad in (deep(63), deep(100_000), ring):
        with pytest.raises(ValueError, match="nested deeper than 64 levels"):
            run.log("too deep", metadata={"a": bad})
    assert messages(run.logs.read()) == ["as deep as can be"]


# ---------------------------------------------------------------- read


@pytest.fixture
def filled(run: Any) -> Any:
    """Ten entries, every third at level error, messages with their number."""
    for number in range(10):
        run.log(f"Message {number}", level="error" if number % 3 == 0 else "info")
    return run


@pytest.mark.parametrize(
    ("kwargs", "numbers"),
    [
        ({}, range(10)),
        ({"start_index": 7}, (7, 8, 9)),
        ({"start_index": -2}, (8, 9)),
        ({"start_index": -99}, range(10)),
        ({"start_index": 99}, ()),
        ({"limit": 2}, (0, 1)),
        ({"limit": 0}, ()),
        ({"limit": -1}, ()),
        ({"limit": None}, range(10)),
        ({"start_index": np.int64(1), "limit": np.int16(2)}, (1, 2)),
        ({"level": "error"}, (0, 3, 6, 9)),
        ({"level": "ERROR", "limit": 2}, (0, 3)),
        ({"level": LogLevel.ERROR, "start_index": 4}, (6, 9)),
        ({"level": "debug"}, ()),
        ({"search": "message 4"}, (4,)),
        ({"search": "MESSAGE", "limit": 1}, (0,)),
        ({"search": ""}, range(10)),
        ({"search": "5", "level": "error"}, ()),
        ({"search": "6", "level": "error"}, (6,)),
        ({"start_index": -4, "level": "error", "limit": 1}, (6,)),
    ],
)
def test_read_keeps_what_is_asked_for(filled: Any, kwargs: dict[str, Any], numbers: Any) -> None:
    """`limit` counts those that match; a negative start counts from the end of all."""
    assert [entry["sequenceNumber"] for entry in filled.logs.read(**kwargs)] == list(numbers)
    assert len(filled.logs) == 10


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"start_index": "a"}, "start_index: expected a whole number; got 'a' of type str"),
        ({"start_index": 1.5}, "start_index: expected a whole number"),
        ({"limit": "a"}, "limit: expected a whole number; got 'a' of type str"),
        ({"search": 5}, "search: expected a string; got 5 of type int"),
    ],
)
def test_read_says_what_it_takes(filled: Any, kwargs: dict[str, Any], error: str) -> None:
    with pytest.raises(TypeError, match=error):
        filled.logs.read(**kwargs)


def test_a_log_without_entries_reads_as_empty(run: Any) -> None:
    assert (run.logs.read(), run.logs.read(-1), len(run.logs)) == ([], [], 0)


def test_numbers_go_on_when_a_run_is_resumed(run: Any, tmp_path: Path) -> None:
    run.log("a")
    close(run)
    again = type(run)("run", "p", local_path=tmp_path / "root")
    with again.run if isinstance(run, Experiment) else again as second:
        second.log("b")
        assert [(entry["sequenceNumber"], entry["message"]) for entry in second.logs.read()] == [(0, "a"), (1, "b")]
    (tmp_path / "root/p/run/logs/.log_sequence").write_text("99")
    (run.run.start if isinstance(run, Experiment) else run.open)()
    run.log("c")
    assert run.logs.read()[-1]["sequenceNumber"] == 2, "the counter's file is not trusted"


def test_closed_it_can_be_read_and_not_written(run: Any) -> None:
    """Through what was kept from before, too."""
    run.log("a")
    logs, builder = run.logs, run.log()
    close(run)
    assert messages(logs.read()) == messages(run.logs.read()) == ["a"]
    for call in (lambda: run.log("b"), run.log, lambda: builder.info("b")):
        with pytest.raises(RunClosed, match=r"'run' .* is not open\. Open it with"):
            call()
    assert len(logs) == 1


# ---------------------------------------------------------------- logging's own


def test_a_handler_writes_what_is_logged(run: Any, logger: logging.Logger) -> None:
    """Level, the message with its arguments, and where it came from."""
    logger.addHandler(LogHandler(run))
    logger.warning("loss %.1f in %s", 2.5, "train")
    logger.log(25, "between info and warning")
    (first, second) = run.logs.read()
    assert (first["level"], first["message"]) == ("warn", "loss 2.5 in train")
    assert first["metadata"]["logger"] == logger.name
    assert first["metadata"]["file"] == __file__
    assert isinstance(first["metadata"]["line"], int)
    assert (second["level"], second["message"]) == ("info", "between info and warning")


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (1, "debug"),
        (10, "debug"),
        (20, "info"),
        (30, "warn"),
        (35, "warn"),
        (40, "error"),
        (50, "fatal"),
        (90, "fatal"),
    ],
)
def test_every_level_of_logging_has_one_of_ours(run: Any, logger: logging.Logger, number: int, level: str) -> None:
    logger.setLevel(1)
    logger.addHandler(LogHandler(run))
    logger.log(number, "message")
    assert run.logs.read()[0]["level"] == level


def test_a_handler_has_a_level_a_formatter_and_filters(run: Any, logger: logging.Logger) -> None:
    """As any handler."""
    handler = LogHandler(run, level=logging.WARNING)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.addHandler(handler)
    logger.info("quiet")
    logger.error("secret")
    logger.error("loud")
    assert messages(run.logs.read()) == ["[ERROR] loud"]


def test_an_exception_goes_into_the_metadata(run: Any, logger: logging.Logger) -> None:
    """Its traceback whole; the message stays the message."""
    logger.addHandler(LogHandler(run))
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        logger.exception("it failed")
    logger.error("nothing to show", exc_info=True)  # noqa: LOG014  on purpose
    first, second = run.logs.read()
    assert (first["level"], first["message"]) == ("error", "it failed")
    assert first["metadata"]["traceback"].startswith("Traceback")
    assert "ZeroDivisionError: by zero" in first["metadata"]["traceback"]
    assert "traceback" not in second["metadata"]


class Wordless:
    """Its text raises."""

    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize(
    ("message", "args"),
    [("%d", ("text",)), ("%(missing)s", ({"a": 1},)), ("%s %s", ("one",)), ("%z", (1,)), (Wordless(), ())],
)
def test_a_record_that_cannot_be_written_never_raises_into_the_program(
    run: Any, message: Any, args: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with it: it goes where logging sends such records."""
    handler = LogHandler(run)
    handler.handle(logging.LogRecord("any", logging.ERROR, __file__, 1, message, args, None))
    assert "--- Logging error ---" in capsys.readouterr().err
    handler.handle(logging.LogRecord("any", logging.ERROR, __file__, 1, "and on", (), None))
    assert messages(run.logs.read()) == ["and on"]


def test_a_record_of_bad_text_is_written_with_replacement_characters(run: Any) -> None:
    """Handed over directly: pytest captures what goes through a logger, and cannot pass such a text on between its processes."""
    LogHandler(run).handle(logging.makeLogRecord({"msg": "name \udcff", "levelno": logging.ERROR}))
    assert messages(run.logs.read()) == ["name \ufffd"]


def test_after_the_run_is_closed_records_are_passed_over(
    run: Any, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word; reopened, they are written again."""
    logger.addHandler(LogHandler(run))
    logger.info("a")
    close(run)
    logger.info("b")
    assert capsys.readouterr().err == ""
    (run.run.start if isinstance(run, Experiment) else run.open)()
    logger.info("c")
    assert messages(run.logs.read()) == ["a", "c"]


def test_a_run_that_is_only_read_takes_no_records(tmp_path: Path, logger: logging.Logger) -> None:
    with Experiment("run", "p", local_path=tmp_path).run:
        pass
    loaded = load("run", "p", local_path=tmp_path)
    logger.addHandler(LogHandler(loaded))
    logger.info("a")
    assert loaded.logs.read() == []
    with pytest.raises(ReadOnly, match="only reads"):
        loaded.log("a")


def test_a_handler_on_the_root_logger_meets_no_loop(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Writing an entry logs nothing of its own."""
    root = logging.getLogger()
    handler = LogHandler(run)
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        for step in range(50):
            logging.getLogger("any").debug("step %d", step)
        run.flush()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert messages(run.logs.read()) == [f"step {step}" for step in range(50)]


Read = Callable[..., list[dict[str, Any]]]


def test_a_long_log_is_read_a_page_at_a_time(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.recorder.PAGE", 4)
    for number in range(11):
        run.log(str(number), level=LEVELS[number % 5])
    read: Read = run.logs.read
    assert messages(read()) == [str(number) for number in range(11)]
    assert messages(read(3, 6)) == [str(number) for number in range(3, 9)]
    assert messages(read(level="fatal")) == ["4", "9"]
    assert messages(read(-6, search="1")) == ["10"]
