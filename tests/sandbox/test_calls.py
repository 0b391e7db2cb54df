"""The call log holds every call, also those that a kill cut."""

import msgspec

from sandbox.calls import CallLine, CallLog, now_s


def line(call: str) -> CallLine:
    return CallLine(event="begin", time_s=now_s(), call=call, request_id="att_1")


def test_lines_are_in_the_file_at_once_and_appended_to_what_was_there(tmp_path):
    path = tmp_path / "deep" / "calls.ndjson"
    for call in ("a", "b"):
        log = CallLog(path)
        log.write(line(call))
        assert msgspec.json.decode(path.read_bytes().splitlines()[-1])["call"] == call
        log.close()
    assert len(path.read_bytes().splitlines()) == 2


def test_a_log_without_a_path_can_be_read_too():
    log = CallLog()
    log.write(line("a"))
    log.write(line("b"))
    read = b"".join(log.read()).splitlines()
    log.close()
    assert [msgspec.json.decode(row, type=CallLine).call for row in read] == ["a", "b"]
