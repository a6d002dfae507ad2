# SPDX-License-Identifier: Apache-2.0
"""weir chat: a terminal chat against a real daemon."""

import os
import pty
import subprocess

from conftest import echo_config


def chat(binary, daemon, text, *options):
    return subprocess.run(
        [binary, "chat", *options, "--url", daemon.url],
        input=text, capture_output=True, text=True, timeout=60,
    )


def test_answers_come_for_each_line(binary, echo):
    run = chat(binary, echo, "hello\n/clear\nworld\n", "echo")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "hello\nworld\n"


def test_the_talk_goes_on(binary, echo):
    run = chat(binary, echo, "a\nb\n")
    # The echo backend repeats the whole prompt: user, assistant, user.
    assert run.stdout == "a\na\na\nb\n"


def test_errors_are_shown_and_fail(binary, echo):
    run = chat(binary, echo, "hi\n", "nope")
    assert run.returncode == 1 and "nope" in run.stderr
    run = subprocess.run([binary, "chat", "--url", "http://127.0.0.1:1"], input="hi\n",
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "is the daemon running" in run.stderr
    run = subprocess.run([binary, "chat", "--url", "https://a"], input="hi\n",
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "http://" in run.stderr


def test_interrupt_stops_the_answer_only(binary, start):
    daemon = start(echo_config(options=", options: {delay_us: 50000}"))
    master, slave = pty.openpty()
    process = subprocess.Popen([binary, "chat", "--url", daemon.url], stdin=slave,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=os.setsid)
    os.close(slave)
    os.write(master, b"x" * 100 + b"\n")
    assert process.stdout.read(2) == b"xx"
    process.send_signal(2)
    os.write(master, b"/quit\n")
    out, err = process.communicate(timeout=30)
    os.close(master)
    assert process.returncode == 0
    assert b"(stopped)" in err and len(out) < 90
